// The workers and what waits in staging
panels.add((() => {
  const LEVELS = { running: "good", starting: "note", draining: "note", waiting: "soon", retrying: "urgent", stopped: "urgent" };
  let table, isStandby = false, now = 0;

  // On a standby some workers are not meant to run
  const levelOf = ({ worker, state: is }) => isStandby && /^(flusher|maintenance|stream)/.test(worker) && is !== "running" ? "note" : LEVELS[is] ?? "note";

  return {
    view: "operator",
    build() {
      table = liveTable({
        caption: "Workers", key: worker => worker.worker,
        columns: [
          { title: "Worker", isHeader: true, text: worker => worker.worker },
          { title: "State", signature: worker => `${worker.state} ${isStandby}`, make: worker => badge(levelOf(worker), worker.state) },
          { title: "Since", text: worker => worker.since ? format.ago(Math.max(now - worker.since, 0)) : "" },
          { title: "Process", isNumber: true, text: worker => worker.pid ? String(worker.pid) : "none" },
          { title: "Last error", isData: true, text: worker => worker.last_error ?? "" },
        ],
      });
      return operatorCard("workers", "Workers", table.element, { whole: true });
    },
    show(answer) {
      const status = operatorStatus(answer);
      isStandby = status.standby;
      now = status.now;
      table.show(status.workers);
    },
  };
})());

panels.add((() => {
  const LANES = { today: "today", other_days: "other days" };
  let table;

  function meter({ bytes, size }) {
    const part = size > 0 ? Math.min(bytes / size, 1) : 0;
    const fill = dom.el("span", { class: part > 0.8 ? "meter-fill bad" : "meter-fill" });
    fill.style.setProperty("--share", `${(part * 100).toFixed(1)}%`);
    return dom.el("div", {}, dom.el("span", { class: "meter", "aria-hidden": "true" }, fill), `${format.percent(part)} of ${units.bytes(size)}`);
  }

  return {
    view: "operator",
    build() {
      table = liveTable({
        caption: "Staging", key: ring => `${ring.pair} ${ring.lane}`, empty: "On a standby nothing is staged.",
        columns: [
          { title: "Events of", isHeader: true, text: ring => `${LANES[ring.lane] ?? ring.lane}, pair ${ring.pair}` },
          { title: "Filled", signature: ring => `${ring.bytes} ${ring.size}`, make: meter },
          { title: "Events", isNumber: true, text: ring => format.number(ring.events) },
          { title: "Oldest", isNumber: true, text: ring => ring.events > 0 ? units.seconds(ring.oldest) : "none" },
        ],
      });
      return operatorCard("staging", "Staging", [dom.el("p", { class: "dim" }, "Events that were sent and wait for their commit."), table.element]);
    },
    show(answer) {
      const status = operatorStatus(answer);
      table.show(status.standby ? [] : status.staging);
    },
  };
})());
