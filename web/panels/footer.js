// What to do where there is nothing, and below all: how fresh and how exact the numbers are
panels.add({
  view: "overview",

  build() {
    this.empty = dom.el("section", { class: "card whole empty-state", hidden: true, "aria-label": "No events" });
    this.line = dom.el("p", { class: "whole dim fineprint" });
    return [this.empty, this.line];
  },

  show(answer, of) {
    liveBadge.take(answer);
    const isEmpty = !answer.error && answer.total_events === 0;
    this.empty.hidden = !isEmpty;
    if (isEmpty) this.explain(of);
    this.say(answer, of);
    const rows = answer.raw_rows;
    const part = answer.cards?.some(card => card.left_out) ? "totals and chart" : "them";
    this.line.textContent = `Exact numbers as of ${format.clockWithSeconds(answer.now, state.timeZone())}, ${state.timeZone()}. `
      + (rows > 0 ? `${format.number(rows)} raw events were read for ${part}.` : answer.error ? "" : `No raw events were read for ${part}.`);
  },

  // Tell those who listen what a change of theirs led to, but not each refresh
  say(answer, of) {
    const question = JSON.stringify(of);
    if (question === this.said) return;
    this.said = question;
    dom.announce(`${period.resolve(of).label}: ${metrics.all().map(metric => `${metric.full(metric.of(answer))} ${metric.label.toLowerCase()}`).join(", ")}`);
  },

  // No events: of these filters, of this range, or none at all. One more question tells.
  async explain(of) {
    const sequence = this.sequence = (this.sequence ?? 0) + 1;
    const isFiltered = of.event !== "" || Object.keys(of.filters).some(name => name !== "site");
    const site = of.filters.site;
    let seen = null;
    try {
      ({ event_names: seen } = await api.get(api.path("event_names", site ? api.filterPairs({ site }) : [])));
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
    }
    if (sequence !== this.sequence || !this.empty.isConnected) return;
    const last = Math.max(...(seen ?? []).map(({ last_seen }) => last_seen ?? -Infinity));
    // The buttons stay, and keep the focus, while there is nothing new to say
    const said = JSON.stringify([of, last, seen?.length === 0]);
    if (said === this.explained) return;
    this.explained = said;
    const button = (text, patch) => dom.el("button", { type: "button", class: "button", onclick: () => state.set(patch) }, text);
    if (seen?.length === 0) dom.replace(this.empty, this.firstEvent(site?.[0] ?? "shop.example"));
    else dom.replace(this.empty,
      dom.el("h3", {}, isFiltered ? "No events match these filters in this range" : "No events in this range"),
      Number.isFinite(last) && dom.el("p", { class: "dim" }, `The last event${site ? " of this website" : ""} was on ${format.moment(last, state.timeZone())}.`),
      dom.el("p", { class: "buttons start" },
        isFiltered && button("Clear the filters", { event: "", filters: site ? { site } : {} }),
        Number.isFinite(last) && button("Show its month", this.monthOf(last)),
        button("Show all time", { period: "all", from: "", to: "" })));
  },

  monthOf(seconds) {
    const tz = state.timeZone();
    const from = zone.startOf(seconds, "month", tz);
    return period.toState(from, zone.add(from, 1, "month", tz), tz);
  },

  // How to send one
  firstEvent(site) {
    const quote = text => `'${text.replaceAll("'", "'\\''")}'`;
    const event = { event_name: "page_view", channel: "web", user_id: "u1", timestamp: Math.floor(Date.now() / 1000), site_id: site, path: "/" };
    const command = `curl ${location.origin}/events -H 'Content-Type: application/json'${access.get().require_api_key ? " -H 'Authorization: Bearer KEY'" : ""} \\\n  -d ${quote(JSON.stringify(event))}`;
    return [
      dom.el("h3", {}, "Waiting for the first event"),
      dom.el("p", { class: "dim" }, "Send one, and it is here within seconds:"),
      dom.el("pre", { class: "code", tabindex: "0" }, command),
      dom.el("p", { class: "buttons start" }, dialog.copyButton(() => command), dom.el("a", { class: "button", href: "docs" }, "All ways to send events")),
    ];
  },
});
