// The main view: one question for all that it shows
const overview = (() => {
  const CARD_ROWS = 9;

  // What the numbers of the page are about, for requests and SQL
  function questionOf(of) {
    const range = period.resolve(of);
    return { event: of.event, from: range.from, to: range.to, step: range.interval.step, tz: range.tz, filters: of.filters, range };
  }

  function address(of) {
    const { event, from, to, step, tz, filters, range } = questionOf(of);
    return api.path("overview", [
      ["event_name", event], ["from", from], ["to", to], ["step", step], ["timezone", tz],
      ["compare_from", range.compare?.from], ["compare_to", range.compare?.to], ["top", CARD_ROWS], ["slow_cards", "false"],
      ...api.filterPairs(filters),
    ]);
  }

  // The same question to /metrics and /series
  function metricsAddress(of, pairs) {
    const { event, from, to, tz, filters } = questionOf(of);
    return api.path("metrics", [["event_name", event], ["from", from], ["to", to], ["timezone", tz], ...pairs, ...api.filterPairs(filters)]);
  }

  function seriesAddress(of, pairs) {
    const { event, from, to, step, tz, filters } = questionOf(of);
    return api.path("series", [["event_name", event], ["from", from], ["to", to], ["step", step], ["timezone", tz], ["align", "false"],
      ...pairs, ...api.filterPairs(filters)]);
  }

  views.add({
    name: "overview",
    title: "Overview",
    question: address,
    // What is over changes only by events that come late
    refresh: of => period.resolve(of).isRunning ? 30 : 300,
  });

  return { questionOf, metricsAddress, seriesAddress, CARD_ROWS };
})();
