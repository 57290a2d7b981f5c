// The operator's view: how the server does. It asks GET /status, which needs a key with the scope
// admin where keys are required. What needs attention comes first.
views.add({
  name: "operator",
  title: "Operator",
  question: () => "status",
  refresh: () => 10,
  explain(error) {
    if (error.status !== 403) return error;
    const explained = new api.ApiError(403, "This view is for operators", "It needs a key with the scope admin, and without a limit to websites or channels.", error.detail);
    return Object.assign(explained, { action: { label: "Give another key", run: () => keyForm.show(error) } });
  },
});

// A card of this view, with a title that links can lead to
const operatorCard = (name, title, content, { whole = false } = {}) => dom.el("section", {
  class: whole ? "card operator-card whole" : "card operator-card", id: `operator-${name}`, tabindex: "-1", "aria-labelledby": `operator-${name}-title`,
}, dom.el("div", { class: "card-head" }, dom.el("h3", { id: `operator-${name}-title` }, title)), dom.el("div", { class: "operator-body" }, content));

// A word with a colour: the colour alone says nothing
const badge = (level, word) => dom.el("span", { class: `badge ${level}` }, word);

panels.add((() => {
  const WORDS = { urgent: "Urgent", soon: "Soon", note: "Note" };
  let list, checked, items = new Map();

  function goTo(event, panel) {
    event.preventDefault();
    const card = dom.byId(`operator-${panel}`);
    card?.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    card?.focus({ preventScroll: true });
  }

  function make({ level, title, effect, quote, todo, page, heading, panel }) {
    return dom.el("li", { class: `finding ${level}` },
      badge(level, WORDS[level]),
      dom.el("div", { class: "finding-text" },
        dom.el("p", { class: "finding-title" }, title, "."), effect && dom.el("p", {}, effect),
        quote && dom.el("p", { class: "finding-quote" }, dom.el("bdi", { dir: "auto" }, quote)),
        todo && dom.el("p", {}, todo),
        dom.el("p", { class: "dim finding-more" },
          panel && dom.el("a", { href: `#operator-${panel}`, onclick: event => goTo(event, panel) }, "Show it"),
          dom.el("span", {}, "Documentation: ", dom.el("cite", {}, `doc/${page}`), heading && `, “${heading}”`))));
  }

  function build() {
    list = dom.el("ul", { class: "findings" });
    checked = dom.el("p", { class: "operator-checked" });
    return operatorCard("attention", "What needs attention", [checked, list], { whole: true });
  }

  // Numbers in a title change at each refresh: such an item is the same one as before
  const keyOf = finding => [finding.level, finding.page, finding.heading, finding.title.replace(/[\d.,]+/g, "#")].join("|");

  function show(answer) {
    const status = operatorStatus(answer);
    dom.byId("view-operator").dataset.known = "";
    const found = findings.of(status, operatorStatus.before(status));
    items = steady.show(list, items, found, {
      keyOf,
      make,
      change(item, finding) {
        const text = JSON.stringify(finding);
        if (item.shownText !== undefined && item.shownText !== text) dom.replace(item, ...make(finding).childNodes);
        item.shownText = text;
      },
    });
    const time = format.clockWithSeconds(status.now, state.timeZone());
    const urgent = found.filter(({ level }) => level !== "note").length;
    dom.replace(checked, urgent === 0 ? [badge("good", "All is well"), ` Nothing needs attention. Looked at ${time}.`] : `Looked at ${time}, and again every 10 seconds.`);
    const words = urgent === 0 ? "Nothing needs attention" : `${findings.plural(urgent, "thing needs", "things need")} attention`;
    if (words !== checked.shownWords) dom.announce(checked.shownWords = words);
  }

  return { view: "operator", build, show };
})());
