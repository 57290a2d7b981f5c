// Starts the page
const app = (() => {
  // Show what the address says, as the key allows. Without a key nothing has to wait for what is allowed.
  function enter() {
    notice.clear();
    views.forget();
    access.forget();
    if (!api.key()) {
      access.learn().catch(error => {
        // The view says what is wrong
        if (!(error instanceof api.ApiError)) throw error;
      });
    }
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
    addEventListener("hashchange", () => { if (api.takeKeyFromAddress()) enter(); });
    enter();
  }

  return { start, enter };
})();

app.start();
