// The plot of the chart: SVG for the eyes, a slider for the keyboard, a table for screen readers.
// Pointing shows the values of a bucket, a click goes into it, dragging selects a range.
const plot = (() => {
  const TOP = 12;
  const BOTTOM = 26;
  const RIGHT = 28;

  function make({ zoom }) {
    // The chart listens itself while it has the focus
    for (const [shown, text] of [["← →", "Values of the chart, where the focus is in it"], ["Enter", "Go into that day or hour"]]) keyboard.add([], text, null, { shown, group: "Chart" });
    const canvas = dom.svg("svg", { class: "plot-svg", "aria-hidden": "true" });
    const focus = dom.el("div", { class: "plot-area", role: "slider", tabindex: "0", "aria-label": "Values of the chart", "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0" }, canvas);
    const tip = dom.el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    const table = dom.el("div", { class: "hidden" });
    const element = dom.el("div", { class: "plot" }, focus, tip, table);
    const self = { input: null, layout: null, index: -1, canvas, focus, tip, table };

    function redraw() {
      if (!self.input || focus.clientWidth === 0) return;
      self.layout = layoutOf(self.input, focus.clientWidth, focus.clientHeight);
      dom.setAttributes(canvas, { width: focus.clientWidth, height: focus.clientHeight, viewBox: `0 0 ${focus.clientWidth} ${focus.clientHeight}` });
      drawing.draw(canvas, self.layout);
      point(self.index);
    }

    // Show the values of a bucket; -1 shows none
    function point(index) {
      const { layout } = self;
      self.index = layout && index < layout.known ? index : -1;
      drawing.mark(canvas, layout, self.index);
      tip.hidden = self.index < 0;
      if (self.index < 0) return;
      dom.replace(tip, tipContent(self.input, layout, self.index));
      const x = layout.x(self.index);
      const width = tip.offsetWidth;
      const left = x + 14 + width > focus.clientWidth ? x - width - 14 : x + 14;
      tip.style.setProperty("left", `${Math.max(4, Math.min(left, focus.clientWidth - width - 4))}px`);
      dom.setAttributes(focus, { "aria-valuenow": self.index, "aria-valuetext": valueText(self.input, layout, self.index) });
    }

    const enter = index => {
      if (index < 0 || self.input.step === "1m") return;
      const [from, to] = period.bucketRange(self.input.points[index].time, self.input.step, self.input.tz);
      zoom(from, to);
    };

    pointing.listen(focus, self, { point, enter, select: (first, last) => {
      const { points, step, tz } = self.input;
      zoom(points[first].time, period.bucketRange(points[last].time, step, tz)[1]);
    } });
    new ResizeObserver(redraw).observe(focus);

    return {
      element,
      draw(input) {
        // The same bucket stays marked when new numbers come
        const isSame = self.input && self.input.points[0]?.time === input.points[0]?.time && self.input.step === input.step;
        self.input = input;
        if (!isSame) self.index = -1;
        redraw();
        fillTable(self);
        dom.setAttributes(focus, { "aria-valuemax": Math.max(0, (self.layout?.known ?? 1) - 1), "aria-valuetext": self.index < 0 ? "Arrow keys show the values, Enter goes into one" : focus.getAttribute("aria-valuetext") });
      },
    };
  }

  // Numbers to pixels
  function layoutOf({ metric, points, compare, now, step, tz }, width, height) {
    const values = points.map(point => metric.of(point));
    const before = compare.slice(0, points.length).map(point => metric.of(point));
    let known = points.length;
    while (known > 0 && points[known - 1].time > now) known--;
    const isUnfinished = known > 0 && period.bucketRange(points[known - 1].time, step, tz)[1] > now;
    const most = Math.max(0, ...values.slice(0, known), ...before);
    const ticks = scale.numberTicks(most, height < 220 ? 4 : 5, metric.isWhole);
    const left = 18 + 7.2 * Math.max(...ticks.map(tick => metric.axis(tick).length));
    const [first, last] = [points[0]?.time ?? 0, points[points.length - 1]?.time ?? 0];
    const inner = width - left - RIGHT;
    const at = time => last > first ? left + (time - first) / (last - first) * inner : left + inner / 2;
    const top = ticks[ticks.length - 1];
    const y = value => TOP + (height - TOP - BOTTOM) * (1 - value / top);
    return {
      values, before, known, isUnfinished, ticks, left, width, height, y, at, metric,
      base: height - BOTTOM, right: width - RIGHT,
      x: index => at(points[index].time),
      timeTicks: scale.timeTicks(first, last, step, inner, tz),
      nearest: x => nearest(points, known, at, x),
    };
  }

  function nearest(points, known, at, x) {
    let [low, high] = [0, known - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((at(points[middle].time) + at(points[middle + 1].time)) / 2 < x) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  const soFar = (layout, index) => layout.isUnfinished && index === layout.known - 1 ? " so far" : "";

  function valueText({ points, step, tz, compare }, layout, index) {
    const before = layout.before[index];
    return `${format.bucket(points[index].time, step, tz)}${soFar(layout, index)}: ${layout.metric.full(layout.values[index])} ${layout.metric.label.toLowerCase()}`
      + (format.isKnown(before) ? `; ${format.bucket(compare[index].time, step, tz)}: ${layout.metric.full(before)}` : "");
  }

  function tipContent({ points, compare, step, tz }, layout, index) {
    const { metric, values, before } = layout;
    const change = format.change(values[index], before[index]);
    const line = (time, value, kind) => dom.el("div", { class: "tip-line" },
      dom.el("span", { class: `swatch ${kind}` }), dom.el("span", {}, format.bucket(time, step, tz)), dom.el("strong", {}, metric.full(value)));
    return [
      dom.el("div", { class: "tip-title" }, metric.label, soFar(layout, index),
        change && change.direction !== "same" && dom.el("span", { class: "tile-change", "data-direction": change.direction }, change.direction === "up" ? "↑ " : "↓ ", change.text)),
      line(points[index].time, values[index], ""),
      format.isKnown(before[index]) && compare[index] && line(compare[index].time, before[index], "compare"),
    ];
  }

  // What the plot shows, as a table
  function fillTable({ table, input: { metric, points, compare, step, tz, now } }) {
    const known = points.filter(({ time }) => time <= now);
    dom.replace(table, dom.el("table", {},
      dom.el("caption", {}, `${metric.label} over time`),
      dom.el("thead", {}, dom.el("tr", {}, ["Time", metric.label, compare.length > 0 && "Before"].filter(Boolean).map(text => dom.el("th", { scope: "col" }, text)))),
      dom.el("tbody", {}, known.map((point, index) => dom.el("tr", {},
        dom.el("th", { scope: "row" }, format.bucket(point.time, step, tz)),
        dom.el("td", {}, metric.full(metric.of(point))),
        compare.length > 0 && dom.el("td", {}, compare[index] ? metric.full(metric.of(compare[index])) : ""))))));
  }

  return { make };
})();
