// Keys as Plausible's. Parts of the page register theirs; the help dialog lists them.
const keyboard = (() => {
  const list = [];

  // keys: as KeyboardEvent.key says, in lower case; shown: how the help names them
  function add(keys, text, run, { shown, group = "View" } = {}) {
    list.push({ keys: [keys].flat(), text, run, shown: shown ?? [keys].flat()[0].toUpperCase(), group });
  }

  function isTyping(target) {
    return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
  }

  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return;
    if (isTyping(event.target) || dialog.isOpen() || popup.isOpen()) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const found = list.find(({ keys }) => keys.includes(key));
    if (!found || found.run(key) === false) return;
    event.preventDefault();
  });

  return { add, all: () => list };
})();
