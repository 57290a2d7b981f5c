// The numbers of the whole range, and how they changed. A click puts one into the chart.
panels.add({
  view: "overview",

  build() {
    this.tiles = metrics.all().map(metric => {
      const value = dom.el("span", { class: "tile-value" }, "–");
      const change = dom.el("span", { class: "tile-change" });
      const button = dom.el("button", { type: "button", class: "tile", "aria-pressed": "false", title: metric.about, onclick: () => state.set({ metric: metric.name }) },
        dom.el("span", { class: "tile-label" }, metric.label), dom.el("span", { class: "tile-line" }, value, change));
      return { metric, button, value, change };
    });
    return dom.el("section", { class: "card headline whole", "aria-label": "Totals" }, this.tiles.map(({ button }) => button));
  },

  prepare() {
    for (const { metric, button } of this.tiles) button.setAttribute("aria-pressed", String(metric === metrics.chosen()));
  },

  show(answer) {
    for (const { metric, value, change } of this.tiles) {
      const number = answer.error ? null : metric.of(answer);
      value.textContent = metric.compact(number);
      value.title = metric.full(number);
      this.showChange(change, metric, number, answer.compare);
    }
  },

  showChange(node, metric, number, compare) {
    if (!compare || compare.error) {
      dom.replace(node);
      return;
    }
    const before = metric.of(compare);
    const change = format.change(number, before);
    node.dataset.direction = change?.direction ?? "same";
    node.title = `Before: ${metric.full(before)}`;
    if (!change) dom.replace(node, before === 0 && number > 0 ? "new" : "");
    else dom.replace(node,
      dom.el("span", { "aria-hidden": "true" }, { up: "↑ ", down: "↓ ", same: "" }[change.direction]),
      dom.el("span", { class: "hidden" }, { up: "up ", down: "down ", same: "changed by " }[change.direction]), change.text);
  },
});
