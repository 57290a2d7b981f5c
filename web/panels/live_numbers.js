// The live view: what happens now. With no filter but the website it asks GET /live, which knows it from
// the rollup; with others GET /overview, about the last 30 minutes.
const live = (() => {
  const MINUTES = 30;
  const ROWS = 12;

  const isPlain = ({ event, filters }) => event === "" && Object.keys(filters).every(name => name === "site") && (filters.site ?? []).length <= 1;

  // The server's clock counts, as far as it is known
  let ahead = 0;
  const noteClock = now => { ahead = now - Date.now() / 1000; };

  // The comparison of the second question is with the last 5 minutes
  function question(of) {
    if (isPlain(of)) return api.path("live", [["site", of.filters.site?.[0]], ["top", ROWS]]);
    const end = (Math.floor((Date.now() / 1000 + ahead) / 60) + 1) * 60;
    return api.path("overview", [
      ["event_name", of.event], ["from", end - MINUTES * 60], ["to", end], ["compare_from", end - 5 * 60], ["compare_to", end], ["step", "1m"],
      ["cards", "page,event"], ["top", ROWS], ...api.filterPairs(of.filters),
    ]);
  }

  // What the panels show, whichever question was answered. An answer that is shown again does not tell the time.
  const models = new WeakMap();
  function read(answer) {
    if (!models.has(answer)) {
      noteClock(answer.now);
      models.set(answer, modelOf(answer));
    }
    return models.get(answer);
  }

  function modelOf(answer) {
    if (answer.pages) {
      return {
        now: answer.now, five: answer.last_5_minutes, thirty: answer.last_30_minutes, minutes: answer.minutes,
        pagesSince: answer.pages_since,
        pages: { rows: answer.pages.map(({ path, ...row }) => ({ group: path, ...row })) },
        events: { rows: answer.event_names.map(({ event_name, ...row }) => ({ group: event_name, ...row })) },
      };
    }
    const card = name => answer.cards.find(one => one.name === name) ?? { rows: [] };
    const nothing = () => Array.from({ length: MINUTES }, (_, i) => ({ time: answer.to - (MINUTES - i) * 60, total_events: 0, unique_users: 0 }));
    return {
      now: answer.now, five: answer.compare, thirty: answer, minutes: answer.points ?? nothing(), pages: card("page"), events: card("event"),
    };
  }

  // Of the minute before and of the one that has begun: exact, and never more than two minutes old
  function eventsPerSecond({ now, minutes }) {
    const [before, present] = minutes.slice(-2);
    const seconds = 60 + Math.max(now - present.time, 0);
    return { value: (before.total_events + present.total_events) / seconds, seconds };
  }

  return { question, read, eventsPerSecond, MINUTES };
})();

views.add({ name: "live", title: "Live", question: live.question, refresh: () => 5 });

panels.add(filterLine("live"));

// The numbers. A click on one of the half hour puts it into the chart.
panels.add((() => {
  const numbers = [
    { title: "Users now", part: "in the last 5 minutes", isNow: true, value: model => model.five?.unique_users },
    { title: "Users", part: "in the last 30 minutes", metric: "users", value: model => model.thirty.unique_users },
    { title: "Events", part: "in the last 30 minutes", metric: "events", value: model => model.thirty.total_events },
    { title: "Events per second", part: "" },
  ];

  function tile(number) {
    number.shown = dom.el("span", { class: "live-value" }, "–");
    number.note = dom.el("span", { class: "dim" }, number.part);
    number.box = dom.el(number.metric ? "button" : "div", {
      type: number.metric && "button", class: "live-number", onclick: number.metric && (() => state.set({ metric: number.metric }, { replace: true })),
    }, dom.el("span", { class: "live-name" }, number.isNow && dom.el("span", { class: "pulse", "aria-hidden": "true" }), number.title), number.shown, number.note);
    return dom.el("li", {}, number.box);
  }

  function prepare(of) {
    for (const { box, metric } of numbers) if (metric) box.setAttribute("aria-pressed", String(metric === (of.metric === "events" ? "events" : "users")));
  }

  function show(answer) {
    const model = live.read(answer);
    const rate = live.eventsPerSecond(model);
    for (const number of numbers) if (number.value) number.shown.textContent = format.compact(number.value(model));
    numbers[3].shown.textContent = format.decimal(rate.value);
    numbers[3].note.textContent = `over the last ${Math.round(rate.seconds)} seconds`;
  }

  return { view: "live", build: () => dom.el("ul", { class: "live-numbers", "aria-label": "Now" }, numbers.map(tile)), prepare, show };
})());
