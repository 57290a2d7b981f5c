// The API key: asked for where the server wants one, kept for the tab only. GET /key says what it
// allows: a key of one website sees that website alone.
const access = (() => {
  // null: no limit
  let isLearned = false;
  let known = { require_api_key: false, scopes: null, sites: null, channels: null };

  // A key for some websites and channels has to name them in every question. Of several websites one
  // is shown first, and the channels together.
  function allowed(of) {
    const filters = { ...of.filters };
    for (const [name, values, first] of [["site", known.sites, 1], ["channel", known.channels]]) {
      if (!values?.length) continue;
      const kept = (filters[name] ?? []).filter(value => values.includes(value));
      filters[name] = kept.length > 0 ? kept : values.slice(0, first);
    }
    return { ...of, filters };
  }

  async function learn() {
    known = await api.get("key");
    isLearned = true;
    state.limitTo(allowed);
  }

  // The key is another one
  function forget() {
    isLearned = false;
  }

  return { learn, forget, isLearned: () => isLearned, get: () => known };
})();

const keyForm = (() => {
  let box = null;

  function submit(event) {
    event.preventDefault();
    const key = box.querySelector("input").value.trim();
    if (key === "") return;
    api.setKey(key);
    box.close();
    app.enter();
  }

  function show(error) {
    if (box) return;
    const wasGiven = api.key() !== "";
    const scope = state.get().view === "operator" ? "admin" : "read";
    const about = error.status === 403 ? "The key of this tab does not allow this. " : wasGiven ? "The key is not valid, or has expired. " : "This server shows its numbers to those who have a key. ";
    if (error.status === 401) api.setKey("");
    const inputId = dom.newId("key");
    box = dialog.open("An API key, please", dom.el("form", { class: "form", onsubmit: submit },
      dom.el("p", {}, about, scope === "read" ? "A key with the scope " : "This view needs a key with the scope ", dom.el("code", {}, scope), scope === "read" ? " is enough." : "."),
      wasGiven && error.detail && dom.el("p", { class: "bad", dir: "auto" }, error.detail),
      dom.el("label", { for: inputId }, "Key"),
      dom.el("input", { id: inputId, type: "password", autocomplete: "off", spellcheck: "false", required: true, autofocus: true }),
      dom.el("p", { class: "dim" }, "It stays in this tab, and is forgotten when the tab is closed. To make one: ",
        dom.el("code", {}, `SELECT fi_create_api_key('dashboard', '{${scope === "read" ? "read" : "read,admin"}}');`)),
      dom.el("p", { class: "buttons" }, dom.el("button", { class: "button primary" }, "Show the numbers"))), {
      onclose() {
        box = null;
        const again = () => show(error);
        if (!api.key()) notice.error({ message: error.message, advice: error.advice, action: { label: "Give a key", run: again } }, { retry: again });
      },
    });
  }

  return { show };
})();
