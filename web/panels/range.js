// The menus of the range and of what it is compared with
const rangeMenu = (() => {
  const COMPARISONS = [["previous", "Previous period"], ["year", "Same period a year before"], ["custom", "Custom period"], ["off", "No comparison"]];
  const parts = {};

  function choose(name) {
    if (name === "realtime") state.set({ view: "live" });
    else if (name === "custom") askRange("Custom range", (from, to) => state.set({ period: "custom", from, to, view: "overview" }));
    else state.set({ period: name, from: "", to: "", view: "overview" });
  }

  const toggleLive = () => state.set({ view: state.get().view === "live" ? "overview" : "live" });

  // Two dates, by the browser's own pickers
  function askRange(title, done) {
    const { from, to, tz } = period.resolve(state.get());
    const now = Date.now() / 1000;
    const field = (label, value) => dom.el("label", { class: "field" }, label,
      dom.el("input", { type: "date", required: true, value: value && zone.toText(value, tz), min: "1971-01-01", max: "9999-12-31" }));
    const first = field("First day", from ?? zone.startOf(now, "month", tz));
    const last = field("Last day", Math.min(to - 1, now));
    const problem = dom.el("p", { class: "bad", role: "alert" });
    const box = dialog.open(title, dom.el("form", {
      class: "form",
      onsubmit(event) {
        event.preventDefault();
        const [begin, end] = [first, last].map(label => label.querySelector("input").value);
        if (!period.customBounds(begin, end, tz)) {
          problem.textContent = "The last day is before the first.";
          return;
        }
        box.close();
        done(begin, end);
      },
    }, dom.el("div", { class: "fields" }, first, last), problem,
    dom.el("p", { class: "dim" }, `Days of ${tz}. Both are part of the range.`),
    dom.el("p", { class: "buttons" }, dom.el("button", { class: "button primary" }, "Show"))));
    first.querySelector("input").focus();
  }

  function compareWith(name) {
    if (name === "custom") askRange("Compare with", (from, to) => state.set({ compare: `${from}..${to}` }));
    else state.set({ compare: name });
  }

  function rangeGroups() {
    const { name } = period.resolve(state.get());
    const isLive = state.get().view === "live";
    return period.GROUPS.map(group => group.map(member => {
      const { label, key } = period.LIST.find(other => other.name === member);
      return { label, hint: key.toUpperCase(), checked: member === "realtime" ? isLive : !isLive && member === name, run: () => choose(member) };
    }));
  }

  // As period.js takes it: what is no comparison is the one with the period before
  function compareName() {
    const { compare } = state.get();
    return compare.includes("..") ? "custom" : compare === "year" || compare === "off" ? compare : "previous";
  }

  function compareGroups() {
    return [COMPARISONS.map(([name, label]) => ({
      label, checked: name === compareName(), run: () => compareWith(name), hint: name === "off" ? "X" : null,
    }))];
  }

  function move(direction) {
    const next = state.get().view === "overview" && period.moved(state.get(), direction);
    if (!next) return false;
    state.set(next);
  }

  function build() {
    parts.range = dom.el("span", { class: "picked" });
    parts.compare = dom.el("span", { class: "picked" });
    parts.back = dom.iconButton("left", "Period before", () => move(-1));
    parts.forward = dom.iconButton("right", "Period after", () => move(1));
    parts.compareButton = popup.menuButton({ class: "picker", "aria-label": "Compare" }, [parts.compare, dom.icon("down")], compareGroups);
    keyboard.add(["ArrowLeft"], "Period before", () => move(-1), { shown: "←", group: "Range" });
    keyboard.add(["ArrowRight"], "Period after", () => move(1), { shown: "→", group: "Range" });
    for (const { name, key, label } of period.LIST) keyboard.add(key, label, () => name === "realtime" ? toggleLive() : choose(name), { group: "Range" });
    keyboard.add("x", "Comparison on or off", () => state.set({ compare: state.get().compare === "off" ? "previous" : "off" }));
    return dom.el("div", { class: "range" },
      dom.el("div", { class: "joined" }, parts.back,
        popup.menuButton({ class: "picker", "aria-label": "Range of time" }, [parts.range, dom.icon("down")], rangeGroups), parts.forward),
      parts.compareButton);
  }

  function update() {
    const range = period.resolve(state.get());
    const isOverview = state.get().view === "overview";
    parts.range.textContent = state.get().view === "live" ? "Realtime" : range.label;
    parts.range.parentNode.setAttribute("aria-label", `Range of time: ${parts.range.textContent}`);
    parts.compare.textContent = { previous: "vs. previous", year: "vs. year before", custom: "vs. custom", off: "Compare" }[compareName()];
    // Who speaks to the page says what is written on it
    parts.compareButton.setAttribute("aria-label", `Compare: ${compareName() === "off" ? "with nothing" : parts.compare.textContent}`);
    parts.compareButton.hidden = !isOverview;
    parts.back.disabled = !isOverview || !period.moved(state.get(), -1);
    parts.forward.disabled = !isOverview || !period.moved(state.get(), 1);
  }

  return { build, update };
})();
