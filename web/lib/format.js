// Numbers and times as the reader's language writes them
const format = (() => {
  const cache = new Map();

  // Intl's formatters are slow to make
  function formatter(kind, options) {
    const name = kind.name + JSON.stringify(options);
    if (!cache.has(name)) cache.set(name, new kind(undefined, options));
    return cache.get(name);
  }

  const numberBy = options => formatter(Intl.NumberFormat, options);
  const dateBy = options => formatter(Intl.DateTimeFormat, options);
  const isKnown = value => typeof value === "number" && Number.isFinite(value);

  // 1,234,567
  const number = value => isKnown(value) ? numberBy({ maximumFractionDigits: value < 100 ? 2 : 0 }).format(value) : "–";

  // 9,999 and 12.3K: what fits into a tile or beside an axis
  function compact(value) {
    if (!isKnown(value)) return "–";
    if (Math.abs(value) < 10_000) return number(value);
    return numberBy({ notation: "compact", minimumSignificantDigits: 3, maximumSignificantDigits: 3 }).format(value);
  }

  // For an axis: 12K rather than 12.0K
  const axis = value => numberBy({ notation: "compact", maximumSignificantDigits: 3 }).format(value);

  const decimal = value => isKnown(value) ? numberBy({ minimumFractionDigits: value < 100 ? 1 : 0, maximumFractionDigits: value < 10 ? 2 : 1 }).format(value) : "–";

  // 0.123 is 12.3%
  const percent = ratio => isKnown(ratio) ? numberBy({ style: "percent", maximumFractionDigits: ratio < 0.1 ? 1 : 0 }).format(ratio) : "–";

  // How much more or less than before, or null where that cannot be known
  function change(value, before) {
    if (!isKnown(value) || !isKnown(before) || before === 0) return null;
    const ratio = (value - before) / before;
    return {
      ratio,
      // Beyond ten times a percentage says less
      text: ratio >= 9 ? `${compact(Math.round(value / before))}×` : numberBy({ style: "percent", maximumFractionDigits: 0 }).format(Math.abs(ratio)),
      direction: Math.abs(ratio) < 0.005 ? "same" : ratio > 0 ? "up" : "down",
    };
  }

  const date = (seconds, tz, options) => dateBy({ timeZone: tz, ...options }).format(seconds * 1000);
  const clock = (seconds, tz) => date(seconds, tz, { hour: "numeric", minute: "2-digit" });
  const clockWithSeconds = (seconds, tz) => date(seconds, tz, { hour: "numeric", minute: "2-digit", second: "2-digit" });
  const moment = (seconds, tz) => date(seconds, tz, { day: "numeric", month: "short", year: "numeric", hour: "numeric", minute: "2-digit" });

  // "1 – 30 Nov 2026", "November 2026", "2026", "Mon, 30 Nov 2026", "30 Nov 2026, 14:00 – 15:00"
  function range(from, to, tz) {
    const isDays = zone.startOf(from, "day", tz) === from && zone.startOf(to, "day", tz) === to;
    if (!isDays) {
      return dateBy({ timeZone: tz, day: "numeric", month: "short", hour: "numeric", minute: "2-digit" }).formatRange(from * 1000, to * 1000);
    }
    if (zone.add(from, 1, "day", tz) === to) return date(from, tz, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
    if (zone.startOf(from, "year", tz) === from && zone.add(from, 1, "year", tz) === to) return date(from, tz, { year: "numeric" });
    if (zone.startOf(from, "month", tz) === from && zone.add(from, 1, "month", tz) === to) return date(from, tz, { month: "long", year: "numeric" });
    return dateBy({ timeZone: tz, day: "numeric", month: "short", year: "numeric" }).formatRange(from * 1000, (to - 1) * 1000);
  }

  // What a point of the chart stands for. step: as the API names it.
  function bucket(time, step, tz) {
    if (step === "1mo") return date(time, tz, { month: "long", year: "numeric" });
    if (step === "1w") return dateBy({ timeZone: tz, day: "numeric", month: "short", year: "numeric" }).formatRange(time * 1000, (zone.add(time, 1, "week", tz) - 1) * 1000);
    if (step === "1d") return date(time, tz, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
    return date(time, tz, { weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
  }

  // "12 seconds ago"
  function ago(seconds) {
    const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
    const [unit, length] = units.find(([, size]) => seconds >= size) ?? units[3];
    return formatter(Intl.RelativeTimeFormat, { numeric: "always" }).format(-Math.floor(seconds / length), unit);
  }

  return { number, compact, axis, decimal, percent, change, date, clock, clockWithSeconds, moment, range, bucket, ago, isKnown };
})();
