// GET /status as the panels use it: a part that could not be read is empty, and named in unread
const operatorStatus = (() => {
  const read = new WeakMap();
  const earlier = [];

  // One for each path and status code
  function requestsOf(paths) {
    return paths.flatMap(({ path, requests }) => Object.entries(requests).map(([code, count]) => ({ route: path ?? "other paths", code, count })));
  }

  function adapt(answer) {
    const unread = [];
    const part = (name, otherwise) => {
      const value = answer[name];
      if (!value?.error) return value ?? otherwise;
      unread.push({ name, error: value.error });
      return otherwise;
    };
    const { http, latency, rollup } = answer;
    const letters = part("dead_letters", { count: 0, dropped: 0, reasons: [], newest: [] });
    return {
      now: answer.now,
      startedAt: answer.started_at,
      standby: answer.is_standby,
      version: { library: answer.version, sql_objects: answer.sql_version, postgresql: answer.postgresql },
      connections: { open: http.connections, limit: http.max_connections, refused: http.connections_refused, waiting: http.questions_waiting },
      requests: requestsOf(http.paths),
      paths: http.paths.map(({ path, ...numbers }) => ({ title: path ?? "other paths", ...numbers })),
      latencies: [
        { title: "Events, from request to answer", ...latency.ingest },
        { title: "Events, from staging to commit", ...latency.commit_wait },
        { title: "Transactions that store events", ...latency.commit },
        { title: "Questions", ...latency.questions },
        { title: "Refreshes of the rollup", ...rollup.refresh },
      ],
      staging: answer.staging.map(({ listener, size_bytes, oldest_seconds, ...ring }) => ({ pair: listener, size: size_bytes, oldest: oldest_seconds, ...ring })),
      refusesAll: answer.staging.some(({ table_refuses_all }) => table_refuses_all),
      rollup: { backlog: rollup.backlog_events, oldest: rollup.oldest_seconds, lastRefresh: rollup.last_refresh, failures: rollup.refreshes_failed },
      workers: part("workers", []),
      events: part("events", {}),
      partitions: part("partitions", null),
      deadLetters: { ...letters, dropped: letters.dropped ?? 0 },
      streams: part("streams", []),
      settings: part("settings", []),
      unread,
    };
  }

  const of = answer => {
    if (!read.has(answer)) read.set(answer, adapt(answer));
    return read.get(answer);
  };

  // The status of 5 minutes ago, or else the oldest since the view was opened or the server started
  of.before = status => {
    if (earlier.at(-1)?.now !== status.now) earlier.push(status);
    while (earlier.length > 1 && (status.now - earlier[0].now > 300 || earlier[0].startedAt !== status.startedAt)) earlier.shift();
    return earlier[0];
  };

  return of;
})();
