// A list in a popup that can be searched: a combobox with a listbox, by the pattern of the ARIA
// authoring practices. The focus stays in the search field; the arrows move through the options.
const combobox = (() => {
  const MOST_OPTIONS = 200;

  // button: what opens it. load(): the choices, or a promise of them: { value, label, hint }.
  // choose(value) is called with the one that is taken.
  function open(button, { label, load, selected, choose, isData = true }) {
    const listId = dom.newId("list");
    const input = dom.el("input", {
      type: "search", class: "search", role: "combobox", "aria-label": label, "aria-controls": listId, "aria-expanded": "true",
      "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false", placeholder: "Search",
    });
    const list = dom.el("div", { role: "listbox", id: listId, "aria-label": label, class: "options" });
    const status = dom.el("p", { class: "options-status", role: "status" }, "Loading");
    const box = dom.el("div", { class: "combobox" }, input, list, status);
    let choices = [];
    let active = -1;

    function activate(index) {
      const options = [...list.children];
      options[active]?.classList.remove("active");
      active = options.length ? (index + options.length) % options.length : -1;
      const option = options[active];
      option?.classList.add("active");
      option?.scrollIntoView({ block: "nearest" });
      dom.setAttributes(input, { "aria-activedescendant": option?.id });
    }

    function take(value) {
      popup.close();
      choose(value);
    }

    function draw() {
      const words = input.value.toLocaleLowerCase();
      const found = choices.filter(choice => choice.label.toLocaleLowerCase().includes(words));
      dom.replace(list, found.slice(0, MOST_OPTIONS).map(choice => dom.el("div", {
        role: "option", id: dom.newId("option"), class: "option", "aria-selected": String(choice.value === selected), onclick: () => take(choice.value),
      }, isData && choice.value !== "" ? dom.data(choice.label) : dom.el("span", {}, choice.label), choice.hint && dom.el("span", { class: "hint" }, choice.hint))));
      list.choices = found;
      status.textContent = found.length === 0 ? "Nothing found" : found.length > MOST_OPTIONS ? `${format.number(found.length)} found, the first ${MOST_OPTIONS} are shown` : "";
      const at = words === "" ? found.findIndex(choice => choice.value === selected) : 0;
      active = -1;
      activate(Math.max(0, Math.min(at, MOST_OPTIONS - 1)));
    }

    input.addEventListener("input", draw);
    input.addEventListener("keydown", event => {
      if (event.key === "ArrowDown") activate(active + 1);
      else if (event.key === "ArrowUp") activate(active - 1);
      else if (event.key === "Enter") {
        if (active >= 0) take(list.choices[active].value);
      } else if (event.key === "Escape") popup.close();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    list.addEventListener("pointerdown", event => event.preventDefault());

    popup.open(button, box);
    input.focus();
    Promise.resolve(load()).then(loaded => {
      choices = loaded;
      draw();
    }, error => {
      if (!(error instanceof api.ApiError)) throw error;
      status.textContent = `${error.message}. ${error.advice}`;
    });
  }

  // A button that opens such a list
  function button(attributes, children, options) {
    return popup.button({ "aria-haspopup": "listbox", ...attributes }, children, node => open(node, options()));
  }

  return { open, button };
})();
