// The first line of a view: the filters as chips, and before them what lead makes
const filterLine = (view, lead) => ({
  view,

  build() {
    this.chips = dom.el("ul", { class: "chips", "aria-label": "Filters" });
    this.line = dom.el("div", { class: "status-line whole" }, lead?.build(), this.chips);
    return this.line;
  },

  prepare({ filters, event }) {
    // The pickers show one website and the event; chips show the rest
    const chips = Object.entries(filters).filter(([name, values]) => name !== "site" || values.length > 1);
    dom.replace(this.chips,
      event !== "" && this.chip("event", [event], () => state.set({ event: "" })),
      chips.map(([name, values]) => this.chip(name, values, () => state.set(state.withFilter(name, [])))),
      chips.length + (event ? 1 : 0) > 1 && dom.el("li", {}, dom.el("button", { type: "button", class: "chip-clear", onclick: clearFilters }, "Clear all")));
    this.line.hidden = !lead && this.chips.childElementCount === 0;
    lead?.update();
  },

  chip(name, values, remove) {
    const shown = values.slice(0, 3);
    return dom.el("li", { class: "chip" },
      dom.el("span", { class: "chip-name" }, dom.data(name), " is "),
      shown.map((value, index) => [index > 0 && dom.el("span", { class: "chip-name" }, " or "), dom.data(value, { class: "data chip-value" })]),
      values.length > shown.length && dom.el("span", { class: "chip-name" }, ` or ${values.length - shown.length} others`),
      name !== "event" && !name.startsWith("metadata.") && dom.iconButton("plus", `Add a value of ${name}`, event => this.addValue(event.currentTarget, name, values)),
      dom.iconButton("close", `Remove the filter ${name}`, remove));
  },

  // Several values of one name: one of them is enough
  addValue(button, name, values) {
    combobox.open(button, {
      label: `Values of ${name}`,
      selected: null,
      async load() {
        const { filters, ...rest } = state.get();
        const { [name]: _, ...others } = filters;
        const by = { campaign_id: "campaign", path: "page" }[name] ?? name;
        return groups.choices(await api.get(overview.metricsAddress({ ...rest, filters: others }, [["group_by", by], ["limit", 1000]])), values);
      },
      choose: value => state.set(state.withFilter(name, [...values, value])),
    });
  },
});

function clearFilters() {
  const { filters, event } = state.get();
  if (event === "" && !Object.keys(filters).some(name => name !== "site")) return false;
  state.set({ event: "", filters: filters.site ? { site: filters.site } : {} });
}

keyboard.add("Escape", "Clear all filters", clearFilters, { shown: "Esc" });
panels.add(filterLine("overview", liveBadge));
