// A card for each breakdown that the operator has, with the largest groups. What takes long is left
// out of the view's answer and loaded alone, one card after the other: by itself while that takes no
// longer than QUICK, otherwise by a click.
panels.add({
  view: "overview",
  QUICK: 3000,    // ms

  build() {
    this.element = dom.el("div", { class: "cards" });
    this.loaded = new Map();
    // The frame of the first paint
    dom.replace(this.element, [0, 1, 2, 3].map(() => dom.el("div", { class: "card group-card", "aria-hidden": "true" },
      dom.el("div", { class: "card-head" }, dom.el("span", { class: "ghost" })),
      dom.el("div", { class: "ghost-rows" }, Array.from({ length: overview.CARD_ROWS }, () => dom.el("span", { class: "ghost" }))))));
    return this.element;
  },

  prepare(of) {
    const shown = JSON.stringify(of);
    if (shown === this.shown) return;
    this.abort?.abort();
    this.abort = new AbortController();
    this.loaded.clear();
    Object.assign(this, { shown, loading: null, isSlow: false });
  },

  show(answer) {
    if (answer !== this.answer) for (const card of this.loaded.values()) card.isOld = true;
    this.answer = answer;
    const sites = state.get().filters.site ?? [];
    const shown = (answer.cards ?? []).filter(({ name }) => name !== "site" || sites.length !== 1);
    const empty = shown.filter(card => card.groups === 0);
    dom.keepFocus(this.element, () => dom.replace(this.element,
      shown.filter(card => !empty.includes(card)).map(card => this.card(card)),
      answer.total_events > 0 && empty.length > 0 && dom.el("p", { class: "dim whole empty-cards" },
        "Nothing in this range: ", empty.map(({ name }, index) => [index > 0 && ", ", groups.title(name)]), ".")));
    const next = this.loading || this.isSlow ? null : shown.find(card => card.left_out && (this.loaded.get(card.name)?.isOld ?? true));
    if (next) this.load(next.name);
  },

  card(card) {
    const title = groups.title(card.name);
    const tool = (label, text, onclick) => dom.el("button", { type: "button", class: "tool", "aria-label": `${label}: ${title}`, title: label, "data-key": `${label} ${card.name}`, onclick }, text);
    const headId = dom.newId("card");
    return dom.el("section", { class: "card group-card", "aria-labelledby": headId },
      dom.el("div", { class: "card-head" },
        dom.el("h3", { id: headId, title: card.name }, dom.data(title, { title: null }), card.groups > 1 && dom.el("span", { class: "count", title: format.number(card.groups) }, format.compact(card.groups))),
        dom.el("div", { class: "card-tools" },
          api.fileLink(overview.metricsAddress(state.get(), [["group_by", card.name], ["format", "csv"]]), `${card.name}.csv`, { class: "tool", "data-key": `CSV ${card.name}`, title: "CSV", "aria-label": `CSV: ${title}` }, "CSV"),
          tool("SQL", "SQL", () => dialog.showSql(title, sql.groups(overview.questionOf(state.get()), card.name))),
          tool("Whole list", dom.icon("expand"), () => details.open(card.name)))),
      card.rows ? this.table(card, title) : this.alone(card, title));
  },

  // What was loaded alone, and is slow to load again, says of when it is
  alone({ name, error }, title) {
    const card = this.loaded.get(name);
    const load = () => this.load(name);
    if (card?.rows?.length > 0) {
      return [this.table(card, title), card.isOld && this.isSlow && this.loading !== name && dom.el("p", { class: "card-foot" }, `As of ${format.clock(card.now, state.timeZone())}. `,
        dom.el("button", { type: "button", class: "button small", "data-key": `load ${name}`, onclick: load }, "Load it again"))];
    }
    return dom.el("p", { class: "card-problem" },
      card?.problem ? [dom.el("strong", {}, card.problem.message, ". "), card.problem.advice, card.problem.detail && dom.el("span", { class: "notice-detail", dir: "auto" }, card.problem.detail), " ",
        dom.el("button", { type: "button", class: "button small", "data-key": `load ${name}`, onclick: load }, "Try again")]
      : card ? "Nothing in this range."
      : this.loading === name || (!error && !this.isSlow) ? "Loading"
      : problemText(error ?? "", load));
  },

  async load(name) {
    const { signal } = this.abort;
    const began = performance.now();
    this.loading = name;
    this.show(this.answer);
    try {
      const { data } = await api.get(overview.metricsAddress(state.get(), [["group_by", name], ["limit", overview.CARD_ROWS]]), { signal });
      if (signal.aborted) return;
      this.loaded.set(name, { name, rows: data, now: this.answer.now, isOld: false });
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof api.ApiError)) throw problem;
      this.loaded.set(name, { name, problem, isOld: false });
    }
    this.loading = null;
    this.isSlow = performance.now() - began > this.QUICK;
    this.show(this.answer);
  },

  table(card, title) {
    const most = Math.max(...card.rows.map(row => row.total_events));
    const number = value => dom.el("td", { class: "number", title: format.number(value) }, format.compact(value));
    return dom.el("table", { class: "groups" },
      dom.el("caption", { class: "hidden" }, `${title}, most events first`),
      dom.el("thead", {}, dom.el("tr", {},
        dom.el("th", { scope: "col" }, dom.el("span", { class: "hidden" }, title)),
        dom.el("th", { scope: "col", class: "number" }, dom.el("span", { class: "swatch users" }), "Users"),
        dom.el("th", { scope: "col", class: "number" }, dom.el("span", { class: "swatch events" }), "Events"))),
      dom.el("tbody", {}, card.rows.map(row => dom.el("tr", {},
        dom.el("th", { scope: "row" }, groups.bars(row, most), groups.link(card.name, row)),
        number(row.unique_users), number(row.total_events)))));
  },
});
