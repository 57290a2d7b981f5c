// Users of the last five minutes, events per second, and the last half hour as small bars. Asked for more
// often than the rest of the page.
const liveBadge = (() => {
  const REFRESH = 10_000;
  const RETRY = 30_000;
  let parts = null;
  let timer = 0;
  let shownSite = null;

  const site = () => state.get().filters.site ?? [];

  function build() {
    parts = { users: dom.el("strong", {}, "–"), unit: dom.el("span", {}, " users now"), rate: dom.el("span", { class: "dim live-rate" }), bars: dom.svg("svg", { class: "live-bars", viewBox: "0 0 120 20", "aria-hidden": "true" }) };
    parts.link = dom.el("a", { class: "live-badge", title: "Users of the last 5 minutes, and events of the last 30", onclick: event => header.follow(event, { view: "live" }) },
      dom.el("span", { class: "pulse", "aria-hidden": "true" }), dom.el("span", {}, parts.users, parts.unit), parts.bars, parts.rate);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) load(); });
    return parts.link;
  }

  function show({ minutes, last_5_minutes }, now) {
    const rate = live.eventsPerSecond({ now, minutes }).value;
    const users = last_5_minutes.unique_users;
    parts.link.hidden = false;
    parts.users.textContent = users < 100_000 ? format.number(users) : format.compact(users);
    parts.link.dataset.quiet = String(users === 0);
    parts.unit.textContent = users === 1 ? " user now" : " users now";
    parts.rate.textContent = `${rate < 10 ? format.number(Math.round(rate * 10) / 10) : format.compact(Math.round(rate))} events/s`;
    const most = Math.max(1, ...minutes.map(minute => minute.total_events));
    dom.replace(parts.bars, minutes.map(({ total_events }, index) => {
      const height = total_events > 0 ? Math.max(2, 18 * total_events / most) : 1;
      return dom.svg("rect", { x: index * 4, width: 3, y: 20 - height, height, rx: 1, class: total_events > 0 ? null : "none" });
    }));
  }

  async function load() {
    clearTimeout(timer);
    if (!views.answer() || state.get().view !== "overview" || document.hidden || !isKnown()) return;
    const asked = site().join();
    let next = REFRESH;
    try {
      const answer = await api.get(api.path("live", [["site", site()[0]], ["top", 1]]));
      if (asked === site().join()) show(answer, answer.now);
    } catch (error) {
      // The view says what is wrong
      if (!(error instanceof api.ApiError)) throw error;
      if (error.status === 401) return;
      next = Math.max(RETRY, error.retryAfter * 1000);
    }
    clearTimeout(timer);
    timer = setTimeout(load, next);
  }

  // GET /live knows one website, and no channels, to which a key may be limited
  const isKnown = () => site().length <= 1 && access.get().channels === null;

  function update() {
    parts.link.href = state.href({ view: "live" });
    if (site().join() !== shownSite) {
      shownSite = site().join();
      parts.users.textContent = "–";
      parts.rate.textContent = "";
    }
    parts.link.hidden = site().length > 1;
    wait();
  }

  function wait() {
    clearTimeout(timer);
    timer = setTimeout(load, REFRESH);
  }

  // The answer to the view has the same numbers, of the same websites and channels
  function take(answer) {
    if (answer.live && !answer.live.error && site().length <= 1) show(answer.live, answer.now);
    wait();
  }

  return { build, update, take };
})();
