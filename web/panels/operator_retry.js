// Buttons that have refused events stored, or sent, after all, and what came of it in words
const lettersRetry = (() => {
  let isBusy = false;

  // "12 events were tried: 10 are stored, 1 was there already, 1 was refused again."
  function words({ retried, stored, duplicates, failed, left }) {
    if (retried === 0) return "There was nothing to retry: somebody else has done it, or does it now.";
    // Of a stream: they are sent by its worker
    if (stored === undefined) return `${findings.plural(retried, "event", "events")} will be sent again.`;
    const parts = [
      stored > 0 && `${format.number(stored)} ${stored === 1 ? "is" : "are"} stored`,
      duplicates > 0 && `${format.number(duplicates)} ${duplicates === 1 ? "was" : "were"} there already`,
      failed > 0 && `${format.number(failed)} ${failed === 1 ? "was refused again and stays" : "were refused again and stay"}, with the new reason`,
    ].filter(Boolean);
    return `${findings.plural(retried, "event was", "events were")} tried: ${parts.join(", ")}.${left > failed ? ` ${findings.plural(left, "dead letter is", "dead letters are")} left.` : ""}`;
  }

  function say(outcome, level, text, detail) {
    dom.replace(outcome, badge(level, level === "urgent" ? "Not done" : "Done"), ` ${text} `, detail && dom.el("bdi", { dir: "auto" }, detail));
  }

  async function send(what, outcome) {
    if (isBusy) return;
    isBusy = true;
    outcome.textContent = "Trying…";
    try {
      const answer = await api.post("dead_letters/retry", what);
      say(outcome, answer.failed > 0 ? "soon" : "good", words(answer));
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      say(outcome, "urgent", `${error.message}.`, error.detail);
    } finally {
      isBusy = false;
    }
    views.load();
  }

  // more: what those hear besides the label who do not see where the button is; what: the body of
  // POST /dead_letters/retry; outcome: the element that says what came of it
  const button = (label, more, what, outcome) => dom.el("button", { type: "button", class: "button small", onclick: () => send(what, outcome) },
    label, more && dom.el("span", { class: "hidden" }, ` ${more}`));

  const outcome = () => dom.el("p", { class: "outcome", role: "status" });

  return { button, outcome };
})();
