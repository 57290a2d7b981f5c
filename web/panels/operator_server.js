// What became of events, what waits, and which server this is
panels.add((() => {
  const EVENTS = [
    ["received", "Received"], ["committed", "Stored"], ["duplicate", "Were there already"], ["rejected", "Not taken: not valid, beyond a limit, staging full"],
    ["dead_lettered", "Refused by the database"], ["discarded", "Dropped by a trigger of yours"], ["staged", "Wait for their commit"],
  ];
  let events, rollup, server;

  const pairTable = (caption, first, second) => liveTable({
    caption, key: row => row.name, hasNoHead: true,
    columns: [{ title: first, isHeader: true, text: row => row.name }, { title: second, isNumber: true, isData: true, text: row => row.value }],
  });

  function showServer({ version, standby, startedAt, partitions }) {
    server.show([
      { name: "Role", value: standby ? "standby" : "primary" },
      { name: "Library", value: version.library },
      { name: "SQL objects", value: version.sql_objects },
      { name: "PostgreSQL", value: version.postgresql },
      { name: "Started", value: startedAt ? format.moment(startedAt, state.timeZone()) : null },
      { name: "Partitions", value: partitions && `${format.number(partitions.count)}, ${units.bytes(partitions.bytes)}` },
      { name: "First and last day", value: partitions?.first && `${partitions.first} – ${partitions.last}` },
    ].filter(({ value }) => value));
  }

  return {
    view: "operator",
    build() {
      events = pairTable("Events since the server started", "Events", "Since the start");
      rollup = pairTable("What waits", "Of", "Now");
      server = pairTable("Version and role", "Of", "Is");
      return [
        operatorCard("events", "Events", events.element),
        operatorCard("rollup", "Rollup and connections", rollup.element),
        operatorCard("server", "Server", server.element),
      ];
    },
    show(answer) {
      const status = operatorStatus(answer);
      const moment = seconds => seconds ? format.ago(Math.max(status.now - seconds, 0)) : "not since the start";
      const { backlog, lastRefresh, failures } = status.rollup;
      const { open, limit, waiting, refused } = status.connections;
      events.show([
        ...EVENTS.filter(([name]) => format.isKnown(status.events[name])).map(([name, title]) => ({ name: title, value: format.number(status.events[name]) })),
        { name: "Last commit", value: moment(status.events.last_commit) },
      ]);
      rollup.show([
        ...(status.standby ? [] : [
          { name: "Events that wait for a refresh", value: format.number(backlog) },
          { name: "Last refresh", value: moment(lastRefresh) },
          { name: "Refreshes that failed", value: format.number(failures) },
        ]),
        { name: "Connections open", value: `${format.number(open)} of ${format.number(limit)}` },
        { name: "Connections refused since the start", value: format.number(refused) },
        { name: "Questions that wait", value: format.number(waiting) },
      ]);
      showServer(status);
    },
  };
})());
