// The last 30 minutes as bars, one a minute, with the same numbers as a table below. The minute that has
// begun is drawn lighter: it is not over.
panels.add((() => {
  const HEIGHT = 160;
  const names = { users: "unique_users", events: "total_events" };
  let bars, labels, top, middle, readout, table, figure, model, metric;

  // The least of 1, 2, 3, 4, 6, 8, 10, 20, ... that is at least so much
  function roundUp(value) {
    const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
    return [1, 2, 3, 4, 6, 8, 10].map(factor => factor * power).find(limit => limit >= value);
  }

  const percent = part => `${(part * 100).toFixed(3)}%`;

  function words(minute) {
    return `${format.clock(minute.time, state.timeZone())}: ${format.number(minute.unique_users)} users, ${format.number(minute.total_events)} events`;
  }

  function say(index) {
    const last = model.minutes.length - 1;
    readout.textContent = index === null ? "" : words(model.minutes[index]) + (index === last ? " so far" : "");
  }

  function pointed(event) {
    if (!model) return;
    const box = event.currentTarget.getBoundingClientRect();
    say(Math.min(Math.max(Math.floor((event.clientX - box.left) / box.width * bars.length), 0), bars.length - 1));
  }

  function build() {
    const width = 1 / live.MINUTES;
    bars = Array.from({ length: live.MINUTES }, (_, i) => dom.svg("rect", {
      class: i === live.MINUTES - 1 ? "live-bar open" : "live-bar", rx: 2, x: percent((i + 0.12) * width), width: percent(0.76 * width), y: HEIGHT, height: 0,
    }));
    labels = bars.map((_, i) => dom.svg("text", { class: "axis", x: percent((i + 0.5) * width), y: HEIGHT + 18, "text-anchor": "middle" }));
    const line = y => dom.svg("line", { class: "grid", x1: "0", x2: "100%", y1: y, y2: y });
    [top, middle] = [0, HEIGHT / 2].map(y => dom.svg("text", { class: "axis", x: -8, y: y + 4, "text-anchor": "end" }));
    const picture = dom.svg("svg", { class: "minute-bars", height: HEIGHT + 24, width: "100%", "aria-hidden": "true", onpointermove: pointed, onpointerleave: () => say(null) },
      line(0.5), line(HEIGHT / 2), line(HEIGHT), bars, labels, top, middle);
    readout = dom.el("p", { class: "live-readout dim" });
    table = liveTable({
      caption: "Users and events of each of the last 30 minutes",
      key: minute => minute.time,
      columns: [
        { title: "Minute", text: minute => format.clock(minute.time, state.timeZone()), isHeader: true },
        { title: "Users", text: minute => format.number(minute.unique_users), isNumber: true },
        { title: "Events", text: minute => format.number(minute.total_events), isNumber: true },
      ],
    });
    const title = dom.newId("live-chart");
    figure = dom.el("section", { class: "card live-chart", "aria-labelledby": title },
      dom.el("div", { class: "live-head" }, dom.el("h3", { id: title }, "Users by minute"), readout),
      dom.el("div", { class: "live-picture" }, picture), dom.el("details", { class: "behind" }, dom.el("summary", {}, "As a table"), table.element));
    return figure;
  }

  function draw() {
    const values = model.minutes.map(minute => minute[names[metric]]);
    const limit = roundUp(Math.max(...values, 4));
    figure.querySelector("h3").textContent = metric === "users" ? "Users by minute" : "Events by minute";
    top.textContent = format.axis(limit);
    middle.textContent = format.axis(limit / 2);
    values.forEach((value, i) => {
      const height = value === 0 ? 0 : Math.max(value / limit * HEIGHT, 2);
      dom.setAttributes(bars[i], { y: HEIGHT - height, height });
      const { minute } = zone.partsOf(model.minutes[i].time, state.timeZone());
      const isShown = minute % 5 === 0 && i > 0 && i < values.length - 1;
      labels[i].textContent = isShown ? format.clock(model.minutes[i].time, state.timeZone()) : "";
      labels[i].classList.toggle("fifth", minute % 10 !== 0);
    });
  }

  function prepare(of) {
    metric = of.metric === "events" ? "events" : "users";
    if (model) draw();
  }

  function show(answer) {
    model = live.read(answer);
    draw();
    table.show([...model.minutes].reverse());
  }

  return { view: "live", build, prepare, show };
})());
