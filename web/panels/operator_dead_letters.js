// Events that the database refused: why, which, and a button to store them after all. What an event
// says is text from strangers.
panels.add((() => {
  const outcome = lettersRetry.outcome();
  let groups, newest, all;

  // The row of the event, as JSON; a long one is cut
  function eventText({ event, event_is_cut }) {
    if (event_is_cut) return `${event}…`;
    try {
      const members = Object.entries(JSON.parse(event)).filter(([, value]) => value !== null);
      return JSON.stringify(Object.fromEntries(members), null, 2);
    } catch {
      return event;
    }
  }

  function letter(one) {
    const { id, failed_at, attempts, reason } = one;
    return dom.el("details", { class: "letter" },
      dom.el("summary", {}, dom.el("span", {}, `Event ${id}`), dom.el("span", { class: "dim" }, format.moment(failed_at, state.timeZone())), dom.el("bdi", { dir: "auto", class: "letter-reason" }, reason)),
      attempts > 1 && dom.el("p", { class: "dim" }, `Tried ${attempts} times.`),
      dom.el("pre", { class: "code", tabindex: "0", dir: "auto" }, eventText(one)));
  }

  return {
    view: "operator",
    build() {
      groups = liveTable({
        caption: "Dead letters by reason", key: group => `${group.sqlstate} ${group.reason}`,
        columns: [
          { title: "Reason", isHeader: true, isData: true, text: group => group.reason },
          { title: "Code", text: group => group.sqlstate },
          { title: "Events", isNumber: true, text: group => format.number(group.count) },
          { title: "Last", text: group => group.newest ? format.moment(group.newest, state.timeZone()) : "" },
          { title: "Store", make: ({ sqlstate, reason }) => lettersRetry.button("Retry these", `events with the reason ${reason}`, { all: true, sqlstate, reason }, outcome) },
        ],
      });
      newest = liveTable({
        caption: "The newest dead letters", key: one => one.id,
        columns: [
          { title: "Event", isHeader: true, signature: one => `${one.id} ${one.attempts} ${one.reason}`, make: letter },
          { title: "Store", make: ({ id }) => lettersRetry.button("Retry", `event ${id}`, { ids: [id] }, outcome) },
        ],
      });
      all = lettersRetry.button("Retry all", "", { all: true }, outcome);
      const card = operatorCard("dead-letters", "Dead letters", [
        dom.el("p", { class: "dim" }, "Valid events that the database refused. A retry stores an event once, and what is refused again stays."),
        outcome, groups.element, dom.el("h4", {}, "The newest"), newest.element,
        dom.el("p", { class: "dim operator-none" }, "There is none."),
      ], { whole: true });
      card.querySelector(".card-head").append(all);
      return card;
    },
    show(answer) {
      const { deadLetters } = operatorStatus(answer);
      dom.byId("operator-dead-letters").classList.toggle("is-empty", deadLetters.count === 0);
      all.hidden = deadLetters.count === 0;
      all.textContent = `Retry all ${format.number(deadLetters.count)}`;
      groups.show(deadLetters.reasons);
      newest.show(deadLetters.newest);
    },
  };
})());
