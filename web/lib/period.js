// Ranges of time in the zone of the page. A range that reaches until now ends where its last day or
// hour ends, so that the rollup answers it; the bucket that is not over is drawn dotted.
const period = (() => {
  // unit and n: by how much the arrows move, and how far back "the period before" is
  const LIST = [
    { name: "day", key: "d", label: "Today", unit: "day", n: 1 },
    { name: "yesterday", key: "e", label: "Yesterday", unit: "day", n: 1 },
    { name: "realtime", key: "r", label: "Realtime" },
    { name: "24h", key: "h", label: "Last 24 hours", unit: "hour", n: 24 },
    { name: "7d", key: "w", label: "Last 7 days", unit: "day", n: 7 },
    { name: "28d", key: "f", label: "Last 28 days", unit: "day", n: 28 },
    { name: "30d", key: "t", label: "Last 30 days", unit: "day", n: 30 },
    { name: "91d", key: "n", label: "Last 91 days", unit: "day", n: 91 },
    { name: "month", key: "m", label: "Month to date", unit: "month", n: 1 },
    { name: "lastmonth", key: "p", label: "Last month", unit: "month", n: 1 },
    { name: "year", key: "y", label: "Year to date", unit: "year", n: 1 },
    { name: "6mo", key: "s", label: "Last 6 months", unit: "month", n: 6 },
    { name: "12mo", key: "l", label: "Last 12 months", unit: "month", n: 12 },
    { name: "all", key: "a", label: "All time" },
    { name: "custom", key: "c", label: "Custom range" },
  ];
  const GROUPS = [["day", "yesterday", "realtime"], ["24h", "7d", "28d", "30d", "91d"], ["month", "lastmonth", "year"], ["6mo", "12mo", "all"], ["custom"]];

  // Names as in the address, as the API takes them, and seconds
  const INTERVALS = [
    { name: "minute", step: "1m", label: "Minutes", unit: "minute", n: 1, seconds: 60 },
    { name: "15min", step: "15m", label: "15 minutes", unit: "minute", n: 15, seconds: 900 },
    { name: "hour", step: "1h", label: "Hours", unit: "hour", n: 1, seconds: 3600 },
    { name: "day", step: "1d", label: "Days", unit: "day", n: 1, seconds: 86400 },
    { name: "week", step: "1w", label: "Weeks", unit: "week", n: 1, seconds: 7 * 86400 },
    { name: "month", step: "1mo", label: "Months", unit: "month", n: 1, seconds: 30 * 86400 },
  ];
  const MOST_POINTS = 800;
  const HOUR = 3600;
  const DAY = 86400;

  // [from, to] of a name; from is null where there is no bound
  function bounds(name, now, tz) {
    const today = zone.startOf(now, "day", tz);
    const tomorrow = zone.add(today, 1, "day", tz);
    const nextHour = zone.startOf(now, "hour", tz) + HOUR;
    const month = zone.startOf(now, "month", tz);
    const days = /^(\d+)d$/.exec(name);
    const months = /^(\d+)mo$/.exec(name);
    if (days) return [zone.add(today, 1 - days[1], "day", tz), tomorrow];
    if (months) return [zone.add(month, 1 - months[1], "month", tz), tomorrow];
    switch (name) {
      case "day": return [today, tomorrow];
      case "yesterday": return [zone.add(today, -1, "day", tz), today];
      case "24h": return [nextHour - DAY, nextHour];
      case "month": return [month, tomorrow];
      case "lastmonth": return [zone.add(month, -1, "month", tz), month];
      case "year": return [zone.startOf(now, "year", tz), tomorrow];
      default: return [null, tomorrow];
    }
  }

  // [from, to] of two texts of an address, or null. The last day is one of them; a last time is not.
  function customBounds(fromText, toText, tz) {
    const from = zone.parse(fromText);
    const to = zone.parse(toText || fromText);
    if (!from || !to) return null;
    const begin = zone.toSeconds(from, tz);
    const end = zone.toSeconds(to.hasTime ? to : { ...to, day: to.day + 1 }, tz);
    return begin < end ? [begin, end] : null;
  }

  // What a range is a whole number of
  function unitOf(from, to, tz) {
    const is = (unit, n) => zone.startOf(from, unit, tz) === from && zone.add(from, n, unit, tz) === to;
    if (is("year", 1)) return { unit: "year", n: 1 };
    const months = Math.round((to - from) / (30.44 * DAY));
    if (months > 0 && is("month", months)) return { unit: "month", n: months };
    const days = Math.round((to - from) / DAY);
    if (days > 0 && is("day", days)) return { unit: "day", n: days };
    return { unit: "second", n: to - from };
  }

  function defaultInterval(name, length) {
    if (name === "year" || name === "6mo" || name === "12mo") return "month";
    if (length <= 2 * HOUR) return "minute";
    if (length <= 2 * DAY + HOUR) return "hour";
    if (length <= 186 * DAY) return "day";
    return length <= 800 * DAY ? "week" : "month";
  }

  function allowedIntervals(length) {
    return INTERVALS.filter(({ seconds }) => length / seconds <= MOST_POINTS && (length > seconds || seconds <= HOUR));
  }

  // The range that is compared with, or null
  function comparison(of, from, to, now, unit, tz) {
    if (of.compare === "off" || from === null) return null;
    const custom = of.compare.split("..");
    if (custom.length === 2) {
      const range = customBounds(custom[0], custom[1], tz);
      return range && { from: range[0], to: range[1] };
    }
    const back = of.compare === "year" ? { unit: "year", n: 1 } : unit;
    // As far as the period has come, to the minute
    const end = to > now ? Math.max(now - now % 60, from + 60) : to;
    const compared = { from: zone.add(from, -back.n, back.unit, tz), to: zone.add(end, -back.n, back.unit, tz) };
    if (of.compare !== "year") compared.to = Math.min(compared.to, from);
    return compared.from < compared.to ? compared : null;
  }

  // All there is to know about the range of a state
  function resolve(of, now = Date.now() / 1000) {
    const tz = of.tz || zone.ofBrowser();
    const custom = of.from ? customBounds(of.from, of.to, tz) : null;
    const known = LIST.find(({ name }) => name === of.period && name !== "custom" && name !== "realtime");
    const { name, label } = custom ? { name: "custom" } : known ?? LIST.find(other => other.name === "30d");
    const [from, to] = custom ?? bounds(name, now, tz);
    const unit = name === "all" ? null : custom ? unitOf(from, to, tz) : LIST.find(other => other.name === name);
    const length = from === null ? null : to - from;
    const intervals = length === null ? INTERVALS.filter(({ seconds }) => seconds >= DAY) : allowedIntervals(length);
    const wanted = intervals.find(other => other.name === of.interval);
    const standard = length === null ? "day" : defaultInterval(name, length);
    const interval = wanted ?? intervals.find(other => other.name === standard) ?? intervals[0] ?? INTERVALS.at(-1);
    return {
      name, from, to, tz, unit, interval, intervals, isRunning: to > now,
      label: label ?? format.range(from, to, tz),
      compare: comparison(of, from, to, now, unit, tz),
    };
  }

  // A range as members of the state: by its name if it has one, first of names of the unit
  function toState(from, to, tz, now = Date.now() / 1000, unit = "day") {
    const names = ["day", "yesterday", "month", "lastmonth", "year"];
    // The first day of a month is a day and the month to date
    for (const name of [...names.filter(other => other.endsWith(unit)), ...names]) {
      const [begin, end] = bounds(name, now, tz);
      if (begin === from && end === to) return { period: name, from: "", to: "" };
    }
    const isDays = zone.startOf(from, "day", tz) === from && zone.startOf(to, "day", tz) === to;
    return {
      period: "custom",
      from: zone.toText(from, tz, !isDays),
      to: zone.toText(isDays ? zone.add(to, -1, "day", tz) : to, tz, !isDays),
    };
  }

  // The period before (-1) or after (1) as members of the state, or null where there is none
  function moved(of, direction, now = Date.now() / 1000) {
    const { from, to, unit, tz, isRunning } = resolve(of, now);
    if (!unit || (direction > 0 && isRunning)) return null;
    const begin = zone.add(from, direction * unit.n, unit.unit, tz);
    if (begin > now) return null;
    // The first one of a month to date is a whole month
    const isByMonths = unit.unit === "month" || unit.unit === "year";
    const end = isByMonths ? zone.add(begin, unit.n, unit.unit, tz) : zone.add(to, direction * unit.n, unit.unit, tz);
    const tomorrow = zone.add(zone.startOf(now, "day", tz), 1, "day", tz);
    const isByDays = isByMonths || unit.unit === "day";
    return toState(begin, isByDays ? Math.min(end, tomorrow) : end, tz, now, unit.unit);
  }

  // The bucket that begins at a time: [from, to]
  function bucketRange(time, step, tz) {
    const { unit, n } = INTERVALS.find(interval => interval.step === step);
    return [time, zone.add(time, n, unit, tz)];
  }

  return { LIST, GROUPS, INTERVALS, resolve, toState, moved, bucketRange, customBounds };
})();
