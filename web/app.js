// Starts the page
const app = (() => {
  async function learnAccess() {
    try {
      await access.load();
    } catch (error) {
      // The view says what is wrong, and tries again
      if (!(error instanceof api.ApiError)) throw error;
    }
  }

  // Show what the address says. A key may be limited to a website, which every question has to name then.
  async function enter() {
    notice.clear();
    views.forget();
    if (api.key()) await learnAccess();
    else learnAccess();
    changed();
  }

  function changed() {
    theme.apply();
    header.update();
    views.show();
  }

  function start() {
    api.takeKeyFromAddress();
    state.start(views.all().map(({ name }) => name));
    theme.apply();
    header.build();
    header.update();
    views.frame();
    state.onChange(() => { popup.close({ focus: false }); changed(); });
    addEventListener("hashchange", () => { api.takeKeyFromAddress(); enter(); });
    enter();
  }

  return { start, enter };
})();

app.start();
