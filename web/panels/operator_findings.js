// What of a status needs attention, in words, with what to do and where it is written. The worst first.
const findings = (() => {
  const LEVELS = ["urgent", "soon", "note"];
  const plural = (n, one, many = `${one}s`) => `${format.number(n)} ${n === 1 ? one : many}`;

  const STATES = {
    starting: ["starts", "Wait a moment."],
    waiting: ["waits for something outside", "The reason says what for: the database, the extension, or the port."],
    retrying: ["tries again after an error", "Fix what the error says: disk, privileges, table. pg_blocking_pids() with its pid says who locks it. It goes on by itself."],
    draining: ["ends, as the server shuts down", "Nothing: it is on purpose."],
    stopped: ["has no process", "Does the server's log say “too many background workers”? Raise max_worker_processes and restart."],
  };
  // "Flusher 1", "The maintenance worker"
  const nameOf = worker => worker === "maintenance" ? "The maintenance worker" : worker.charAt(0).toUpperCase() + worker.slice(1);

  const EFFECTS = {
    listener: "Clients do not reach it.", flusher: "Events are not stored. None is lost: they wait in staging, and clients hear 503 when that is full.",
    query: "It answers no questions.", maintenance: "The rollup is not refreshed by it. Answers stay exact and become slower.",
  };

  function aboutWorkers({ workers, standby }) {
    return workers.filter(({ worker, state: is }) => is !== "running" && !(standby && /^(flusher|maintenance|stream)/.test(worker))).map(worker => {
      const [does, todo] = STATES[worker.state] ?? [`is ${worker.state}`, "Look at the server's log."];
      const [kind] = worker.worker.split(" ");
      return {
        level: /starting|draining/.test(worker.state) ? "note" : kind === "maintenance" || kind === "stream" ? "soon" : "urgent",
        title: `${nameOf(worker.worker)} ${does}`, effect: EFFECTS[kind], quote: worker.last_error, todo, page: "troubleshoot.md", heading: "503", panel: "workers",
      };
    });
  }

  function aboutStaging({ staging, standby }) {
    if (standby) return [];
    const result = [];
    for (const { pair, lane, bytes, size, oldest } of staging) {
      const which = `${staging.length > 2 ? ` of pair ${pair}` : ""}${lane === "other_days" ? " for other days than today" : ""}`;
      const base = { page: "troubleshoot.md", heading: "503", panel: "staging", todo: "Is the flusher held up? Look at its state below, and ask pg_blocking_pids() with its pid. If it comes in bursts only, raise fast_ingest.staging_size." };
      if (bytes / size > 0.8) result.push({ ...base, level: "urgent", title: `Staging${which} is ${format.percent(bytes / size)} full`, effect: "When it is full, clients hear 503 and have to send again." });
      else if (oldest > 30) result.push({ ...base, level: "urgent", title: `Events${which} have waited for their commit for ${Math.round(oldest)} seconds`, effect: "Their clients wait, too." });
      else if (bytes / size > 0.5) result.push({ ...base, level: "soon", title: `Staging${which} is ${format.percent(bytes / size)} full` });
    }
    return result;
  }

  function aboutDeadLetters({ deadLetters: { count, dropped, reasons } }) {
    const result = [];
    const base = { page: "operate.md", heading: "Dead letters", panel: "dead-letters" };
    if (count > 0) {
      result.push({
        ...base, level: "soon", title: `The database refused ${plural(count, "event")}${reasons.length > 1 ? `, for ${reasons.length} reasons` : ""}`,
        effect: "They are kept, and are in no number of the dashboard.", quote: reasons[0]?.reason, todo: "Fix the cause, then store them below. Those that are refused again stay.",
      });
    }
    if (dropped > 0) result.push({ ...base, level: "urgent", title: `${plural(dropped, "dead letter was", "dead letters were")} deleted, the oldest first`, effect: "There are at most fast_ingest.max_dead_letters of them.", todo: "Retry or purge them, or raise fast_ingest.max_dead_letters." });
    return result;
  }

  const STREAMS = {
    lost: ["urgent", "has lost its position, and events may be missing in its target", "Go on with fi_resume_stream(name, refill => true), which sends what may be missing. On a copy of the server, fi_drop_stream(name)."],
    blocked: ["urgent", "is blocked: only a person can tell what its target has", "Look there as the reason says, then fi_resume_stream(name)."],
    retrying: ["soon", "cannot send: it tries again by itself", "Make the target right. fi_resume_stream(name) tries at once. Nothing is dropped."],
    waiting: ["note", "waits", "If the reason names an old transaction, end it."],
    paused: ["note", "is paused, and WAL is kept meanwhile", "fi_resume_stream(name) lets it go on."],
  };

  function aboutStreams({ streams, standby }) {
    if (standby) return [];
    const base = { page: "streams.md", heading: "States", panel: "streams" };
    return streams.flatMap(stream => {
      const result = [];
      const [level, says, todo] = STREAMS[stream.state] ?? [];
      const held = stream.retained_wal / stream.max_retained_wal;
      if (level) result.push({ ...base, level, title: `Stream ${stream.name} ${says}`, quote: [stream.detail, stream.last_error].find(Boolean), todo });
      else if (stream.lag_seconds > 600) result.push({ ...base, level: "soon", title: `Stream ${stream.name} is ${Math.round(stream.lag_seconds / 60)} minutes behind`, todo: "Does the target keep up? Look at the events that wait, and whether they become fewer." });
      if (held > 0.5) result.push({ ...base, heading: "Disk", level: "urgent", title: `Stream ${stream.name} holds ${format.percent(held)} of the disk that it may hold`, effect: "At 100% it is given up, and is lost.", todo: "Make the target right, or raise its max_retained_wal." });
      if (stream.dead_letters > 0) result.push({ ...base, heading: "Dead letters", level: "soon", title: `The target of stream ${stream.name} refuses ${plural(stream.dead_letters, "event")}`, quote: stream.reasons?.[0]?.reason, todo: "Fix the cause, then send them again below." });
      return result;
    });
  }

  function aboutRollup({ now, rollup, standby }) {
    if (standby || rollup.backlog === 0 || rollup.oldest < 900) return [];
    return [{
      level: "soon", title: rollup.lastRefresh ? `The rollup was last refreshed ${format.ago(now - rollup.lastRefresh)}` : "The rollup has not been refreshed since the server started",
      effect: `${plural(rollup.backlog, "event waits", "events wait")}. Answers stay exact and become slower.`, todo: "SELECT * FROM fi_schedule() lets pg_cron refresh it; SELECT fi_refresh() does it at once, or says what is wrong.", page: "operate.md", heading: "The clock", panel: "rollup",
    }];
  }

  // Parts of the status that the database did not tell
  function aboutUnread({ unread }) {
    return unread.map(({ name, error }) => ({
      level: "soon", title: `The ${name.replace("_", " ")} could not be read`, quote: error, todo: "If something locks them, end it: pg_stat_activity shows who.", page: "troubleshoot.md", heading: "503",
    }));
  }

  function aboutServer({ version, standby, connections, settings, refusesAll }) {
    const value = name => settings.find(setting => setting.name === `fast_ingest.${name}`)?.value;
    const result = [];
    if (refusesAll) result.push({ level: "urgent", title: "The table refuses every event", effect: "So it is the table, not the events. None becomes a dead letter by it: they wait.", todo: "Take back what was done to fast_ingest.events: a column without a default, a constraint, a trigger.", page: "troubleshoot.md", heading: "503", panel: "workers" });
    if (version.sql_objects && version.sql_objects !== version.library) result.push({ level: "soon", title: `The library is version ${version.library}, the SQL objects are ${version.sql_objects}`, todo: "ALTER EXTENSION fast_ingest UPDATE, or restart the server if its library is the older one.", page: "operate.md", heading: "Upgrades" });
    if (connections.open / connections.limit > 0.9) result.push({ level: "soon", title: `${format.number(connections.open)} of ${format.number(connections.limit)} connections are open`, effect: "Beyond the limit clients hear 503.", todo: "Let clients keep connections alive, or raise fast_ingest.max_connections.", page: "troubleshoot.md", heading: "503", panel: "requests" });
    const addresses = value("listen_addresses");
    const isOpen = addresses?.split(",").some(address => !/^\s*(localhost|127(\.\d+){3}|::1|)\s*$/.test(address));
    if (isOpen && value("require_api_key") !== "on") result.push({ level: "soon", title: `Whoever reaches this server may write and read: it listens on ${addresses} and asks for no key`, todo: "Make keys, then set fast_ingest.require_api_key = on.", page: "secure.md", heading: "", panel: "settings" });
    if (value("acknowledge") === "stage") result.push({ level: "note", title: "Events are acknowledged before they are committed", effect: "A crash loses those in staging.", todo: "If that is not wanted: fast_ingest.acknowledge = commit.", page: "reliability.md", heading: "", panel: "settings" });
    if (standby) result.push({ level: "note", title: "This is a standby", effect: "It answers questions. Events are answered 503.", todo: "Send events to the primary.", page: "operate.md", heading: "Standby" });
    if (settings.some(setting => setting.pending_restart)) result.push({ level: "note", title: "A setting was changed that counts after a restart", todo: "Restart the server when it suits.", page: "reference-settings.md", heading: "", panel: "settings" });
    return result;
  }

  // Of the requests since an earlier status
  function aboutAnswers(status, before) {
    const countOf = (of, test) => of.requests.reduce((sum, { code, count }) => sum + (test(code) ? count : 0), 0);
    const isOurs = code => code >= 500;
    const failed = countOf(status, isOurs) - countOf(before, isOurs);
    if (failed <= 0) return [];
    return [{ level: "soon", title: `${plural(failed, "request was", "requests were")} answered 5xx since ${format.clock(before.now, state.timeZone())}`, todo: "500 is in the server's log; 503 has its reason in the answer.", page: "troubleshoot.md", heading: "503", panel: "requests" }];
  }

  function of(status, before) {
    const all = [
      ...aboutServer(status), ...aboutUnread(status), ...aboutWorkers(status), ...aboutStaging(status), ...aboutStreams(status), ...aboutDeadLetters(status), ...aboutRollup(status), ...aboutAnswers(status, before),
    ];
    return LEVELS.flatMap(level => all.filter(finding => finding.level === level));
  }

  return { of, plural };
})();
