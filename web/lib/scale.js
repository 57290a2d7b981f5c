// Where the ticks of a chart go: round numbers, and times that people say
const scale = (() => {
  // Round numbers from 0 to at least most, about count of them
  function numberTicks(most, count, isWhole) {
    if (!(most > 0)) return [0, 1];
    const rough = most / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    let tick = [1, 2, 2.5, 5, 10].map(factor => factor * power).find(size => size >= rough * 0.999);
    if (isWhole) tick = Math.max(1, Math.ceil(tick));
    const ticks = [];
    for (let i = 0; ticks.length === 0 || ticks[ticks.length - 1] < most * 0.999; i++) ticks.push(i * tick);
    return ticks;
  }

  const STEPS = [
    { unit: "minute", n: 5, seconds: 300 }, { unit: "minute", n: 10, seconds: 600 }, { unit: "minute", n: 30, seconds: 1800 },
    { unit: "hour", n: 1, seconds: 3600 }, { unit: "hour", n: 2, seconds: 7200 }, { unit: "hour", n: 3, seconds: 10800 },
    { unit: "hour", n: 6, seconds: 21600 }, { unit: "hour", n: 12, seconds: 43200 },
    { unit: "day", n: 1, seconds: 86400 }, { unit: "day", n: 2, seconds: 2 * 86400 }, { unit: "week", n: 1, seconds: 7 * 86400 },
    { unit: "week", n: 2, seconds: 14 * 86400 }, { unit: "month", n: 1, seconds: 30.4 * 86400 }, { unit: "month", n: 3, seconds: 91 * 86400 },
    { unit: "month", n: 6, seconds: 182 * 86400 }, { unit: "year", n: 1, seconds: 365 * 86400 }, { unit: "year", n: 2, seconds: 730 * 86400 },
    { unit: "year", n: 5, seconds: 1826 * 86400 }, { unit: "year", n: 10, seconds: 3652 * 86400 },
  ];

  // The first multiple of n units at or after a moment: hours from midnight, months from January
  function firstTick(from, { unit, n }, tz) {
    const outer = { minute: "hour", hour: "day", day: "month", week: "week", month: "year", year: "year" }[unit];
    let at = zone.startOf(from, outer, tz);
    if (unit === "year") {
      const { year } = zone.partsOf(from, tz);
      at = zone.toSeconds({ year: year - year % n }, tz);
    }
    while (at < from) at = zone.add(at, n, unit, tz);
    return at;
  }

  function label(time, { unit }, tz, isFirst) {
    const { month, hour, minute } = zone.partsOf(time, tz);
    const isMidnight = hour === 0 && minute === 0;
    if (unit === "year") return format.date(time, tz, { year: "numeric" });
    if (unit === "month") return month === 1 || isFirst ? format.date(time, tz, { month: "short", year: "numeric" }) : format.date(time, tz, { month: "short" });
    if (unit === "day" || unit === "week" || (isMidnight && !isFirst)) return format.date(time, tz, { day: "numeric", month: "short" });
    return format.clock(time, tz);
  }

  // [{ time, label }] between two moments that are width pixels apart
  function timeTicks(from, to, step, width, tz) {
    const most = Math.max(3, Math.floor(width / 76));
    const smallest = period.INTERVALS.find(interval => interval.step === step).seconds;
    const size = STEPS.find(({ seconds }) => seconds >= smallest * 0.99 && (to - from) / seconds <= most) ?? STEPS[STEPS.length - 1];
    const ticks = [];
    for (let at = firstTick(from, size, tz); at <= to && ticks.length < 100; at = zone.add(at, size.n, size.unit, tz)) {
      // Every second day begins again at each month: the 31st and the 1st are too near
      if (size.unit === "day" && size.n > 1 && zone.partsOf(at, tz).day === 31) at = zone.add(at, -1, "day", tz);
      ticks.push({ time: at, label: label(at, size, tz, ticks.length === 0) });
    }
    return ticks;
  }

  return { numberTicks, timeTicks };
})();
