// Light or dark: as the system has it, unless the address or the reader says otherwise
const theme = (() => {
  const STORE = "fast_ingest.theme";
  const CHOICES = [["", "As the system"], ["light", "Light"], ["dark", "Dark"]];

  function chosen() {
    const inAddress = state.get().theme;
    const wanted = inAddress || localStorage.getItem(STORE);
    return wanted === "light" || wanted === "dark" ? wanted : "";
  }

  function apply() {
    const wanted = chosen();
    if (wanted) document.documentElement.dataset.theme = wanted;
    else delete document.documentElement.dataset.theme;
  }

  function choose(wanted) {
    if (wanted) localStorage.setItem(STORE, wanted);
    else localStorage.removeItem(STORE);
    if (state.get().theme) state.set({ theme: "" }, { replace: true });
    apply();
  }

  return { apply, choose, chosen, CHOICES };
})();
