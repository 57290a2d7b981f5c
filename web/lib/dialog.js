// A dialog: the browser's own, which keeps the focus inside, closes at Esc, and gives the focus back
const dialog = (() => {
  // content: nodes. Returns the element, on which close() may be called.
  function open(title, content, { wide = false, onclose } = {}) {
    const id = dom.newId("dialog");
    const box = dom.el("dialog", { class: wide ? "dialog wide" : "dialog", "aria-labelledby": id });
    box.append(
      dom.el("header", { class: "dialog-head" },
        dom.el("h2", { id }, title),
        dom.iconButton("close", "Close", () => box.close())),
      dom.el("div", { class: "dialog-body" }, content));
    // A click beside it
    box.addEventListener("click", event => { if (event.target === box) box.close(); });
    box.addEventListener("close", () => {
      box.remove();
      onclose?.();
    });
    document.body.append(box);
    box.showModal();
    box.querySelector("[autofocus]")?.focus();
    return box;
  }

  const isOpen = () => document.querySelector("dialog[open]") !== null;

  // A button that copies a text
  function copyButton(textOf, label = "Copy") {
    const button = dom.el("button", { type: "button", class: "button" }, label);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(textOf());
        button.textContent = "Copied";
        dom.announce("Copied");
      } catch {
        // Without HTTPS there is no clipboard: the text is selected, for Ctrl+C
        const text = button.closest("dialog")?.querySelector("pre, textarea, input[readonly]");
        if (text) getSelection().selectAllChildren(text);
        text?.select?.();
        button.textContent = "Press Ctrl+C";
      }
      setTimeout(() => { button.textContent = label; }, 2000);
    });
    return button;
  }

  // A statement for psql
  function showSql(title, statement) {
    open(`SQL: ${title}`, [
      dom.el("p", { class: "dim" }, "This statement, in psql, answers the same at the same moment."),
      dom.el("pre", { class: "code", tabindex: "0" }, statement),
      dom.el("p", { class: "buttons" }, copyButton(() => statement)),
    ]);
  }

  return { open, isOpen, copyButton, showSql };
})();
