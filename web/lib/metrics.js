// The numbers that can be a headline and a line of the chart. Each is computed from totals as the API
// gives them: { total_events, unique_users }.
const metrics = (() => {
  const list = [];

  // name: in the address; of(counts): the number, null where there is none; compact and full write it
  function add(metric) {
    list.push({ compact: format.compact, full: format.number, axis: format.axis, isWhole: true, ...metric });
  }

  add({ name: "users", label: "Users", about: "Different users of the whole range, exactly", of: counts => counts.unique_users });
  add({ name: "events", label: "Events", about: "All events of the range", of: counts => counts.total_events });
  add({
    name: "per-user", label: "Events per user", about: "Events divided by users", isWhole: false, compact: format.decimal, full: format.decimal,
    of: counts => counts.unique_users > 0 ? counts.total_events / counts.unique_users : null,
  });

  const chosen = () => list.find(({ name }) => name === state.get().metric) ?? list[0];

  return { add, all: () => list, chosen };
})();
