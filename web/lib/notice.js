// A strip below the header that says in words what is wrong, and what to do
const notice = (() => {
  let timer = 0;
  let shown = "";

  function clear() {
    clearInterval(timer);
    shown = "";
    const box = dom.byId("notice");
    if (!box.hidden) {
      box.hidden = true;
      dom.replace(box);
    }
  }

  // retry: what the button does, unless the error has an action { label, run } that helps; seconds: when
  // it happens by itself (0: not)
  function error({ message, advice, detail, action }, { retry, seconds = 0 } = {}) {
    clearInterval(timer);
    const box = dom.byId("notice");
    // The same again is not said again, and its button keeps the focus
    const text = JSON.stringify([message, advice, detail, seconds > 0, Boolean(views.answer())]);
    const isSame = text === shown && !action;
    const countdown = isSame ? box.querySelector(".countdown") : dom.el("span", { class: "countdown", "aria-hidden": "true" });
    shown = text;
    const end = Date.now() + seconds * 1000;
    const tick = () => {
      const left = Math.round((end - Date.now()) / 1000);
      countdown.textContent = left > 0 ? `Again in ${left} s` : "Trying again";
    };
    if (seconds > 0) {
      tick();
      timer = setInterval(tick, 1000);
    }
    if (isSame) return;
    dom.replace(box,
      dom.icon("warning"),
      dom.el("div", { class: "notice-text" },
        dom.el("strong", {}, message, "."), " ", advice ?? "",
        detail && dom.el("span", { class: "notice-detail", dir: "auto" }, detail),
        views.answer() && dom.el("span", { class: "dim" }, " The numbers below are older.")),
      seconds > 0 && countdown,
      retry ? dom.el("button", { type: "button", class: "button small", onclick: action?.run ?? retry }, action?.label ?? "Try now")
        : dom.iconButton("close", "Close this message", clear));
    box.hidden = false;
  }

  return { error, clear };
})();
