// The menu of what is seldom changed, and the dialogs behind it
const settings = (() => {
  function build() {
    keyboard.add("?", "These keys", showKeys, { shown: "?" });
    return popup.menuButton({ class: "icon-button", "aria-label": "Settings", title: "Settings" }, [dom.icon("settings")], () => [
      theme.CHOICES.map(([name, label]) => ({ label: name ? `${label} theme` : "Theme of the system", checked: theme.chosen() === name, run: () => theme.choose(name) })),
      [{ label: "Time zone", hint: state.timeZone(), run: chooseZone }],
      [{ label: "Share", run: share }, { label: "API key", run: changeKey }],
      [{ label: "Keys", hint: "?", run: showKeys }, { label: "API reference", href: "docs" }],
    ]);
  }

  function chooseZone() {
    const button = document.querySelector("#tools [aria-label=Settings]");
    const own = zone.ofBrowser();
    const names = zone.names().filter(name => name !== own);
    combobox.open(button, {
      label: "Time zones", isData: false, selected: state.get().tz,
      load: () => [{ value: "", label: own, hint: "of this browser" }, ...names.map(name => ({ value: name, label: name }))],
      choose: tz => state.set({ tz }),
    });
  }

  function showKeys() {
    const groups = Map.groupBy ? Map.groupBy(keyboard.all(), ({ group }) => group) : new Map([["Keys", keyboard.all()]]);
    dialog.open("Keys", dom.el("div", { class: "keys", tabindex: "0" }, [...groups].map(([group, keys]) => dom.el("section", {},
      dom.el("h3", {}, group),
      dom.el("dl", {}, keys.filter(({ text }) => text).map(({ shown, text }) => dom.el("div", {}, dom.el("dt", {}, dom.el("kbd", {}, shown)), dom.el("dd", {}, text))))))), { wide: true });
  }

  // The address of this view; with a key in the fragment, for those who have none
  function share() {
    // What a key may do besides reading is not for others: such a key has to be typed in
    const { scopes, require_api_key } = access.get();
    const own = scopes?.join() === "read" ? api.key() : "";
    const link = dom.el("input", { type: "text", readonly: true, "aria-label": "Link" });
    const key = dom.el("input", { type: "text", id: dom.newId("key"), autocomplete: "off", spellcheck: "false", value: own, placeholder: "fi_..." });
    const update = () => {
      const given = key.value.trim();
      link.value = location.origin + state.href({ tz: state.timeZone() }) + (given ? `#key=${encodeURIComponent(given)}` : "");
    };
    key.addEventListener("input", update);
    update();
    const needsKey = require_api_key || api.key() !== "";
    dialog.open("Share this view", [
      dom.el("p", {}, "Whoever opens this link sees what you see: the website, range, time zone and filters."),
      needsKey && dom.el("div", { class: "form" },
        dom.el("label", { for: key.id }, "With this key"), key,
        dom.el("p", { class: "dim" }, "It is part of the link, behind #, which browsers do not send: no log has it. Give a key that may only read, of this website: ",
          dom.el("code", {}, `SELECT fi_create_api_key('shared', '{read}'${state.get().filters.site?.length === 1 ? `, site_ids => ARRAY[${sql.literal(state.get().filters.site[0])}]` : ""});`))),
      dom.el("div", { class: "copy-line" }, link, dialog.copyButton(() => link.value, "Copy link")),
    ]);
  }

  function changeKey() {
    const { require_api_key, sites, channels, scopes } = access.get();
    const limits = [sites, channels].filter(Boolean).map(names => [" of ", names.map((name, index) => [index > 0 && ", ", dom.data(name)])]);
    dialog.open("API key", [
      dom.el("p", {}, api.key() ? "This tab has a key, until it is closed." : require_api_key ? "This tab has no key." : "This server asks for no key."),
      scopes && dom.el("p", { class: "dim" }, "It allows: ", scopes.join(", "), limits, "."),
      api.key() && dom.el("p", { class: "buttons" }, dom.el("button", {
        type: "button", class: "button", onclick: event => { event.target.closest("dialog").close(); api.setKey(""); app.enter(); },
      }, "Forget the key")),
    ]);
  }

  return { build };
})();
