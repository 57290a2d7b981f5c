// The chart over time: its head with interval, CSV and SQL, and the plot
panels.add({
  view: "overview",

  build() {
    this.legend = dom.el("div", { class: "legend" });
    this.interval = dom.el("span", { class: "picked" });
    this.intervalButton = popup.menuButton({ class: "tool", "aria-label": "Interval" }, [this.interval, dom.icon("down")], () => [this.choices()]);
    this.csv = dom.el("span", {});
    this.plot = plot.make({ zoom: (from, to) => state.set(period.toState(from, to, state.timeZone())) });
    this.problem = dom.el("p", { class: "card-problem", hidden: true });
    keyboard.add("i", "Next interval", () => this.next(), { shown: "I" });
    return dom.el("section", { class: "card chart-card whole", "aria-label": "Chart" },
      dom.el("div", { class: "card-head" }, this.legend,
        dom.el("div", { class: "card-tools" }, this.intervalButton, this.csv,
          dom.el("button", { type: "button", class: "tool", "aria-label": "SQL of the chart", title: "The statement for psql", onclick: () => this.showSql() }, "SQL"))),
      this.problem, this.plot.element);
  },

  choices() {
    const { interval, intervals } = period.resolve(state.get());
    return intervals.map(({ name, label }) => ({ label, checked: name === interval.name, run: () => state.set({ interval: name }) }));
  },

  next() {
    const { interval, intervals } = period.resolve(state.get());
    if (state.get().view !== "overview" || intervals.length < 2) return false;
    state.set({ interval: intervals[(intervals.indexOf(interval) + 1) % intervals.length].name });
  },

  showSql() {
    dialog.showSql("chart", sql.series(overview.questionOf(state.get())));
  },

  prepare(of) {
    const { interval } = period.resolve(of);
    this.interval.textContent = interval.label;
    this.intervalButton.setAttribute("aria-label", `Interval: ${interval.label}`);
    dom.replace(this.csv, api.fileLink(overview.seriesAddress(of, [["format", "csv"]]), "chart.csv", { class: "tool", "data-key": "chart csv", "aria-label": "Chart as CSV", title: "CSV" }, "CSV"));
  },

  show(answer, of) {
    // Its day may have ended since
    this.prepare(of);
    const metric = metrics.chosen();
    const tz = state.timeZone();
    this.problem.hidden = !answer.error;
    this.plot.element.hidden = Boolean(answer.error);
    if (answer.error) {
      dom.replace(this.problem, ...problemText(answer.error));
      return;
    }
    const compare = answer.compare && !answer.compare.error ? answer.compare : null;
    const range = period.resolve(state.get());
    const from = range.from ?? (answer.points.length > 0 ? zone.startOf(answer.points[0].time, "day", tz) : undefined);
    dom.replace(this.legend,
      dom.el("h3", {}, metric.label),
      from !== undefined && dom.el("span", { class: "legend-item" }, dom.el("span", { class: "swatch" }), format.range(from, range.to, tz)),
      compare && dom.el("span", { class: "legend-item compare" }, dom.el("span", { class: "swatch compare" }), format.range(compare.from, this.wholeEnd(compare.to, tz), tz)),
      answer.compare?.error && dom.el("span", { class: "legend-item", title: answer.compare.error }, "The period before is not there any more"));
    this.plot.draw({ metric, tz, step: answer.step ?? range.interval.step, points: answer.points, compare: compare?.points ?? [], now: answer.now });
  },

  // A comparison up to this moment of its last day reads better as that day
  wholeEnd(to, tz) {
    const day = zone.startOf(to, "day", tz);
    return day === to || state.get().period === "24h" ? to : zone.add(day, 1, "day", tz);
  },
});
