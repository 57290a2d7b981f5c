// What the plot draws into its SVG
const drawing = (() => {
  const round = number => Math.round(number * 10) / 10;

  // The path through the values from one index to another; what is not known is left out
  function pathOf(layout, values, from, to) {
    let path = "";
    let isDown = false;
    for (let index = from; index <= to; index++) {
      if (!format.isKnown(values[index])) {
        isDown = false;
        continue;
      }
      path += `${isDown ? "L" : "M"}${round(layout.x(index))} ${round(layout.y(values[index]))}`;
      isDown = true;
    }
    return path;
  }

  function areaOf(layout) {
    const { values, known, base } = layout;
    if (known < 2) return "";
    const heights = values.slice(0, known).map((value, index) => `L${round(layout.x(index))} ${round(layout.y(value ?? 0))}`).join("");
    return `M${round(layout.x(0))} ${base}${heights}L${round(layout.x(known - 1))} ${base}Z`;
  }

  function grid({ ticks, y, left, right, metric }) {
    return ticks.map(tick => dom.svg("g", {},
      dom.svg("line", { class: tick === 0 ? "axis-line" : "grid-line", x1: left, x2: right, y1: round(y(tick)) + 0.5, y2: round(y(tick)) + 0.5 }),
      dom.svg("text", { class: "tick", x: left - 8, y: round(y(tick)) + 4, "text-anchor": "end" }, metric.axis(tick))));
  }

  function times({ timeTicks, at, base }) {
    // The first one may need more room than there is before its middle
    return timeTicks.map(({ time, label }) => dom.svg("text", { class: "tick", x: round(Math.max(at(time), 4 + 3.4 * label.length)), y: base + 18, "text-anchor": "middle" }, label));
  }

  function draw(canvas, layout) {
    const { values, before, known, isUnfinished } = layout;
    const last = known - 1;
    const solid = isUnfinished && known > 1 ? last - 1 : last;
    const dots = [];
    // A value without neighbours has no line
    for (let index = 0; index < known; index++) {
      if (format.isKnown(values[index]) && !format.isKnown(values[index - 1]) && !format.isKnown(index < last ? values[index + 1] : null)) {
        dots.push(dom.svg("circle", { class: "dot", cx: round(layout.x(index)), cy: round(layout.y(values[index])), r: 4 }));
      }
    }
    dom.replace(canvas,
      dom.svg("defs", {}, dom.svg("linearGradient", { id: "area-fill", x1: 0, y1: 0, x2: 0, y2: 1 },
        dom.svg("stop", { class: "area-top", offset: 0 }), dom.svg("stop", { class: "area-bottom", offset: 1 }))),
      grid(layout), times(layout),
      dom.svg("path", { class: "area", d: areaOf(layout), fill: "url(#area-fill)" }),
      before.length > 0 && dom.svg("path", { class: "line compare", d: pathOf(layout, before, 0, before.length - 1) }),
      dom.svg("path", { class: "line", d: pathOf(layout, values, 0, solid) }),
      solid < last && dom.svg("path", { class: "line unfinished", d: pathOf(layout, values, solid, last) }),
      dots,
      dom.svg("g", { class: "marks" }));
  }

  // The cross hair at a bucket
  function mark(canvas, layout, index) {
    const marks = canvas.querySelector(".marks");
    if (!marks) return;
    if (index < 0) {
      dom.replace(marks);
      return;
    }
    const x = round(layout.x(index));
    const dot = (value, kind) => format.isKnown(value) && dom.svg("circle", { class: `mark ${kind}`, cx: x, cy: round(layout.y(value)), r: 4.5 });
    dom.replace(marks, dom.svg("line", { class: "cross", x1: x, x2: x, y1: 8, y2: layout.base }), dot(layout.before[index], "compare"), dot(layout.values[index], ""));
  }

  // What a drag has selected
  function select(canvas, layout, from, to) {
    const marks = canvas.querySelector(".marks");
    marks?.querySelector(".selection")?.remove();
    marks?.prepend(dom.svg("rect", { class: "selection", x: Math.min(from, to), width: Math.abs(to - from), y: 8, height: layout.base - 8 }));
  }

  return { draw, mark, select };
})();
