// What opens below a button: a menu of choices, or a list that can be searched. One is open at a time; it
// closes at Esc, at a click elsewhere, and when the focus leaves it.
const popup = (() => {
  let opened = null;

  function close({ focus = true } = {}) {
    if (!opened) return;
    const { button, box } = opened;
    opened = null;
    box.remove();
    button.setAttribute("aria-expanded", "false");
    button.removeAttribute("aria-controls");
    if (focus) button.focus();
  }

  // Below the button, within the window
  function place(button, box) {
    const at = button.getBoundingClientRect();
    const width = box.offsetWidth;
    const left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - width - 8));
    box.style.setProperty("left", `${left}px`);
    box.style.setProperty("top", `${at.bottom + 4}px`);
    box.style.setProperty("max-height", `${Math.max(200, innerHeight - at.bottom - 16)}px`);
  }

  function open(button, box) {
    close({ focus: false });
    box.id ||= dom.newId("popup");
    box.classList.add("popup");
    // Beside the button in the document, so that Tab goes on from there
    button.after(box);
    button.setAttribute("aria-expanded", "true");
    button.setAttribute("aria-controls", box.id);
    opened = { button, box };
    place(button, box);
    box.addEventListener("focusout", event => {
      if (opened?.box === box && event.relatedTarget && !box.contains(event.relatedTarget)) close({ focus: false });
    });
  }

  document.addEventListener("pointerdown", event => {
    if (opened && !opened.box.contains(event.target) && !opened.button.contains(event.target)) close({ focus: false });
  });

  for (const name of ["resize", "scroll"]) {
    addEventListener(name, () => { if (opened) place(opened.button, opened.box); }, { passive: true });
  }

  // A button that opens what make() returns
  function button(attributes, children, make) {
    const node = dom.el("button", { type: "button", "aria-expanded": "false", ...attributes }, children);
    node.addEventListener("click", () => {
      if (opened?.button === node) close();
      else make(node);
    });
    return node;
  }

  // groupsOf(): lists of { label, hint, checked, run } or { label, href }; a menu with separators between
  function menuButton(attributes, children, groupsOf) {
    return button({ "aria-haspopup": "menu", ...attributes }, children, node => {
      const menu = dom.el("div", { role: "menu", class: "menu", "aria-label": attributes["aria-label"] ?? node.textContent });
      groupsOf().forEach((group, index) => {
        if (index > 0) menu.append(dom.el("div", { role: "separator" }));
        for (const item of group) menu.append(menuItem(item));
      });
      menu.addEventListener("keydown", moveByKeys);
      open(node, menu);
      (menu.querySelector("[aria-checked=true]") ?? menu.querySelector("[role^=menuitem]"))?.focus();
    });
  }

  function menuItem({ label, hint, checked, run, href }) {
    const item = dom.el(href ? "a" : "button", {
      class: "menu-item", tabindex: "-1", href, type: href ? null : "button",
      role: checked === undefined ? "menuitem" : "menuitemradio", "aria-checked": checked === undefined ? null : String(checked),
    }, dom.el("span", {}, label), hint && dom.el("kbd", { "aria-hidden": "true" }, hint));
    item.addEventListener("click", () => {
      close();
      run?.();
    });
    return item;
  }

  function moveByKeys(event) {
    const items = [...event.currentTarget.querySelectorAll("[role^=menuitem]")];
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape") close();
    else if (event.key === "Tab") return close();
    else if (to === undefined) return;
    else items[(to + items.length) % items.length].focus();
    event.preventDefault();
    event.stopPropagation();
  }

  return { open, close, button, menuButton, isOpen: () => opened !== null };
})();
