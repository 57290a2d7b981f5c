// What the page is made of. A view is one screen of it, answered by one question to the server; a panel is
// a piece of a view, in a file of its own, that registers itself:
//
//   panels.add({
//     view: "overview",
//     build() { return element; },      // once, when the view is shown first
//     prepare(state) {},                // optional: at each change of the address, before any answer
//     show(answer, state) {},           // with each answer
//   });
//
// The order of the scripts in index.html is the order of the panels on the page.
const panels = (() => {
  const list = [];
  return { add: panel => list.push(panel), of: view => list.filter(panel => panel.view === view) };
})();

const views = (() => {
  const list = [];
  const KEPT_ANSWERS = 12;
  const RETRY_SECONDS = [2, 5, 10, 20, 30];
  const answers = new Map();
  let sequence = 0;
  let running = null;
  let timer = 0;
  let dueAt = 0;
  let failures = 0;
  let shown = null;

  // { name, title, question(state): an address, refresh(state): seconds }, and optionally explain(error):
  // an error in words of this view
  function add(view) {
    list.push({ element: null, built: false, ...view });
  }

  function current() {
    return list.find(({ name }) => name === state.get().view) ?? list[0];
  }

  function build(view) {
    if (view.built) return;
    view.built = true;
    view.element ??= dom.byId(`view-${view.name}`);
    dom.replace(view.element, dom.el("h2", { class: "hidden" }, view.title), panels.of(view.name).map(panel => panel.build()));
  }

  function remember(question, answer) {
    answers.delete(question);
    answers.set(question, { answer, at: Date.now() });
    if (answers.size > KEPT_ANSWERS) answers.delete(answers.keys().next().value);
  }

  function render(view, answer) {
    shown = { view, answer };
    view.element.dataset.state = "fresh";
    view.element.removeAttribute("aria-busy");
    dom.keepFocus(view.element, () => { for (const panel of panels.of(view.name)) panel.show?.(answer, state.get()); });
  }

  function wait(seconds) {
    clearTimeout(timer);
    dueAt = Date.now() + seconds * 1000;
    timer = setTimeout(() => { if (!document.hidden) load(); }, seconds * 1000);
  }

  // Ask for what the view shows. Only the last question counts: an answer to an earlier one is dropped.
  async function load() {
    const number = ++sequence;
    running?.abort();
    running = new AbortController();
    clearTimeout(timer);
    const view = current();
    try {
      // A key may be limited to a website, which every question has to name. To learn that may change the
      // address, and with it ask anew.
      if (api.key() && !access.isLearned()) await access.learn();
      if (number !== sequence) return;
      const question = view.question(state.get());
      const answer = await api.get(question, { signal: running.signal });
      if (number !== sequence) return;
      failures = 0;
      notice.clear();
      remember(question, answer);
      render(view, answer);
      wait(view.refresh(state.get()));
    } catch (error) {
      if (number !== sequence) return;
      if (!(error instanceof api.ApiError)) throw error;
      fail(view, view.explain?.(error) ?? error);
    }
  }

  // Keep the old numbers, say so, and try again unless only the reader can help
  function fail(view, error) {
    view.element.dataset.state = "stale";
    view.element.removeAttribute("aria-busy");
    if (error.status === 401) {
      keyForm.show(error);
      return;
    }
    const again = error.status === 0 || error.status === 429 || error.status >= 500;
    const seconds = Math.max(RETRY_SECONDS[Math.min(failures++, RETRY_SECONDS.length - 1)], error.retryAfter);
    notice.error(error, { retry: load, seconds: again ? seconds : 0 });
    if (again) wait(seconds);
  }

  // The view of the address without numbers
  function frame() {
    const view = current();
    build(view);
    for (const other of list) {
      other.element ??= dom.byId(`view-${other.name}`);
      other.element.hidden = other !== view;
    }
    document.body.dataset.view = view.name;
    for (const panel of panels.of(view.name)) panel.prepare?.(state.get());
    return view;
  }

  // Show the view of the address: at once what is known, dimmed, then the answer
  function show() {
    const view = frame();
    const question = view.question(state.get());
    const known = answers.get(question);
    if (known) render(view, known.answer);
    else view.element.dataset.state = "loading";
    view.element.setAttribute("aria-busy", "true");
    if (known && Date.now() - known.at < 5000) {
      sequence++;
      running?.abort();
      notice.clear();
      view.element.removeAttribute("aria-busy");
      wait(view.refresh(state.get()));
    } else {
      load();
    }
  }

  // The answer on the page, if it is of the view that is shown
  const answer = () => shown && shown.view === current() ? shown.answer : null;

  function forget() {
    answers.clear();
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() >= dueAt && dueAt > 0) load();
  });

  return { add, frame, show, load, current, answer, forget, all: () => list };
})();
