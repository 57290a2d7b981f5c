// How long requests take, and what they are answered
panels.add((() => {
  let all, byPath;

  function timesTable(caption, first) {
    const time = name => ({ title: name, isNumber: true, text: row => row.count > 0 ? units.seconds(row[name]) : "–" });
    return liveTable({
      caption, key: row => row.title,
      columns: [{ title: first, isHeader: true, text: row => row.title }, time("p50"), time("p95"), time("p99"),
        { title: "Count", isNumber: true, text: row => format.compact(row.count) }],
    });
  }

  return {
    view: "operator",
    build() {
      all = timesTable("Latency", "Of");
      byPath = timesTable("Latency by path", "Path");
      return operatorCard("latency", "Latency", [
        dom.el("p", { class: "dim" }, "Half of them took p50 at most, 95 of 100 p95, 99 of 100 p99, since the server started."),
        all.element, dom.el("details", { class: "behind" }, dom.el("summary", {}, "By path"), byPath.element),
      ]);
    },
    show(answer) {
      const { latencies, paths } = operatorStatus(answer);
      all.show(latencies);
      byPath.show(paths);
    },
  };
})());

panels.add((() => {
  const MEANINGS = {
    200: "answered", 202: "accepted", 204: "accepted", 304: "not changed", 400: "not valid", 401: "no valid key", 403: "not allowed", 404: "unknown path", 405: "wrong method",
    408: "too slow", 413: "too large", 414: "address too long", 415: "unknown type", 422: "refused by the database", 429: "beyond a rate limit", 431: "head too large",
    500: "the server's mistake", 503: "not now", 505: "unknown HTTP",
  };
  let table, isFirst = true;

  // One row for each code that was ever answered
  function rowsOf(requests, before) {
    const rows = new Map();
    for (const { route, code, count } of requests) {
      if (count === 0) continue;
      const row = rows.get(code) ?? { code, count: 0, recent: 0, routes: [] };
      row.count += count;
      row.routes.push({ route, count });
      rows.set(code, row);
    }
    for (const row of rows.values()) {
      row.recent = row.count - before.filter(({ code }) => code === row.code).reduce((sum, { count }) => sum + count, 0);
      row.routes.sort((a, b) => b.count - a.count);
    }
    return [...rows.values()].sort((a, b) => a.code - b.code);
  }

  const levelOf = code => code >= 500 ? "urgent" : code >= 400 ? "soon" : "good";
  const routesOf = ({ routes }) => routes.slice(0, 4).map(({ route, count }) => `${route} ${format.compact(count)}`).join(", ") + (routes.length > 4 ? " and others" : "");

  return {
    view: "operator",
    build() {
      table = liveTable({
        caption: "Requests by status", key: row => row.code, empty: "There was none since the server started.",
        columns: [
          { title: "Status", isHeader: true, signature: row => row.code, make: row => [badge(levelOf(Number(row.code)), row.code), ` ${MEANINGS[row.code] ?? ""}`] },
          { title: "Since the start", isNumber: true, text: row => format.compact(row.count) },
          { title: "Of late", isNumber: true, text: row => isFirst ? "–" : format.compact(row.recent) },
          { title: "Paths", text: routesOf },
        ],
      });
      return operatorCard("requests", "Requests", [dom.el("p", { class: "dim" }, "“Of late” is since this view was opened, for the last 5 minutes at most."), table.element]);
    },
    show(answer) {
      const status = operatorStatus(answer);
      const before = operatorStatus.before(status);
      isFirst = before === status;
      table.show(rowsOf(status.requests, before.requests));
    },
  };
})());
