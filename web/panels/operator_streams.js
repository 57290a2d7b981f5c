// Streams with what they have yet to send
panels.add((() => {
  const LEVELS = { running: "good", waiting: "note", paused: "note", retrying: "soon", blocked: "urgent", lost: "urgent" };
  const outcome = lettersRetry.outcome();
  let table, refused, now = 0;

  function lag({ lag_events, lag_seconds: seconds }) {
    if (lag_events === null || lag_events === undefined) return "–";
    return lag_events === 0 ? "nothing" : `${findings.plural(lag_events, "event")}, ${units.seconds(seconds ?? 0)}`;
  }

  function errorOf({ detail, last_error, last_error_at }) {
    const parts = [detail, last_error && last_error !== detail && `${last_error}${last_error_at ? ` (${format.ago(Math.max(now - last_error_at, 0))})` : ""}`];
    return parts.filter(Boolean).join(". ");
  }

  return {
    view: "operator",
    build() {
      table = liveTable({
        caption: "Streams", key: stream => stream.name, empty: "There is none. fi_create_stream() makes one: doc/streams.md.",
        columns: [
          { title: "Stream", isHeader: true, text: stream => `${stream.name} (${stream.kind})` },
          { title: "State", signature: stream => stream.state, make: stream => badge(LEVELS[stream.state] ?? "note", stream.state) },
          { title: "To send", isNumber: true, text: lag },
          { title: "Sent", isNumber: true, text: stream => format.compact(stream.events_sent) },
          { title: "Disk", isNumber: true, text: stream => stream.max_retained_wal ? `${units.bytes(stream.retained_wal)} of ${units.bytes(stream.max_retained_wal)}` : "–" },
          { title: "Refused", isNumber: true, text: stream => format.number(stream.dead_letters ?? 0) },
          { title: "Last error", isData: true, text: errorOf },
        ],
      });
      refused = liveTable({
        caption: "Events that targets refuse, by reason", key: row => `${row.stream} ${row.reason}`,
        columns: [
          { title: "Stream", isHeader: true, text: row => row.stream },
          { title: "Reason of its target", isData: true, text: row => row.reason },
          { title: "Events", isNumber: true, text: row => format.number(row.count) },
          { title: "Last", text: row => format.moment(row.newest, state.timeZone()) },
          { title: "Send", make: ({ stream }) => lettersRetry.button("Send again", `all refused events of stream ${stream}`, { all: true, stream }, outcome) },
        ],
      });
      return operatorCard("streams", "Streams", [table.element, outcome, refused.element], { whole: true });
    },
    show(answer) {
      const status = operatorStatus(answer);
      now = status.now;
      table.show(status.streams);
      refused.show(status.streams.flatMap(({ name, reasons = [] }) => reasons.map(reason => ({ stream: name, ...reason }))));
    },
  };
})());
