// GET /docs: what openapi.json says, with a form for each operation. The key is that of the dashboard.
const docsPage = (() => {
  function openNamed() {
    const chosen = dom.byId(location.hash.slice(1));
    if (chosen?.tagName !== "DETAILS") return;
    chosen.open = true;
    chosen.scrollIntoView();
    chosen.querySelector("summary").focus({ preventScroll: true });
  }

  function keepKey() {
    const input = dom.byId("key");
    input.value = api.key();
    input.addEventListener("input", () => {
      api.setKey(input.value.trim());
      for (const form of document.querySelectorAll(".operation[open] form")) form.dispatchEvent(new Event("input"));
    });
    dom.byId("key-form").addEventListener("submit", event => event.preventDefault());
  }

  function contentsOf(parts) {
    return parts.map(({ tag, operations }) => dom.el("section", {},
      dom.el("h2", {}, tag.description ?? tag.name),
      dom.el("ul", {}, operations.map(({ path, method, operation }) => dom.el("li", {}, dom.el("a", { href: `#${operation.operationId}` },
        dom.el("span", { class: `method small ${method}` }, method.toUpperCase()), dom.el("code", {}, path)))))));
  }

  async function show() {
    const { info, tags } = await description.load();
    const parts = tags.map(tag => ({ tag, operations: description.operationsOf(tag) }));
    dom.byId("title").textContent = `${info.title} ${info.version}`;
    dom.byId("about").textContent = `${info.summary}. ${info.description}`;
    dom.replace(dom.byId("contents"), contentsOf(parts));
    dom.replace(dom.byId("operations"), parts.map(({ tag, operations }) => [dom.el("h2", {}, tag.description ?? tag.name), operations.map(docsOperation.show)]));
    openNamed();
  }

  function start() {
    api.takeKeyFromAddress();
    state.start();
    theme.apply();
    keepKey();
    addEventListener("hashchange", () => {
      if (api.takeKeyFromAddress()) dom.byId("key").value = api.key();
      else openNamed();
    });
    show().catch(error => dom.replace(dom.byId("operations"), dom.el("p", { class: "notice", role: "alert" }, `${error.message}. ${error.advice ?? ""} `,
      dom.el("button", { type: "button", class: "button small", onclick: () => location.reload() }, "Try again"))));
  }

  return { start };
})();

docsPage.start();
