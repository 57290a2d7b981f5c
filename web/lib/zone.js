// Local times of a time zone. Moments are Unix seconds; parts are what a clock on the wall shows.
const zone = (() => {
  const formatters = new Map();

  function formatterOf(tz) {
    if (!formatters.has(tz)) {
      formatters.set(tz, new Intl.DateTimeFormat("en-US", {
        timeZone: tz, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric",
        hour: "numeric", minute: "numeric", second: "numeric",
      }));
    }
    return formatters.get(tz);
  }

  function isValid(tz) {
    try {
      formatterOf(tz);
      return true;
    } catch {
      return false;
    }
  }

  // Names that some browsers still use, and that a server may not have any more
  const RENAMED = {
    "Africa/Asmera": "Africa/Asmara", "America/Buenos_Aires": "America/Argentina/Buenos_Aires", "America/Catamarca": "America/Argentina/Catamarca",
    "America/Coral_Harbour": "America/Atikokan", "America/Cordoba": "America/Argentina/Cordoba", "America/Godthab": "America/Nuuk",
    "America/Indianapolis": "America/Indiana/Indianapolis", "America/Jujuy": "America/Argentina/Jujuy", "America/Louisville": "America/Kentucky/Louisville",
    "America/Mendoza": "America/Argentina/Mendoza", "Asia/Calcutta": "Asia/Kolkata", "Asia/Katmandu": "Asia/Kathmandu", "Asia/Rangoon": "Asia/Yangon",
    "Asia/Saigon": "Asia/Ho_Chi_Minh", "Atlantic/Faeroe": "Atlantic/Faroe", "Europe/Kiev": "Europe/Kyiv", "Pacific/Ponape": "Pacific/Pohnpei", "Pacific/Truk": "Pacific/Chuuk",
  };

  // The present name, where the browser knows it
  function presentName(name) {
    const renamed = Object.hasOwn(RENAMED, name) ? RENAMED[name] : name;
    return isValid(renamed) ? renamed : name;
  }

  const ofBrowser = () => presentName(Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");
  const names = () => ["UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? []).map(presentName)].filter((name, index, all) => all.indexOf(name) === index);

  function partsOf(seconds, tz) {
    const parts = {};
    for (const { type, value } of formatterOf(tz).formatToParts(seconds * 1000)) parts[type] = Number(value);
    return { year: parts.year, month: parts.month, day: parts.day, hour: parts.hour, minute: parts.minute, second: parts.second };
  }

  // The parts as if they were UTC. Days and months may be out of their range: 32 is in the next month.
  function asUtc({ year, month = 1, day = 1, hour = 0, minute = 0, second = 0 }) {
    return Date.UTC(year, month - 1, day, hour, minute, second) / 1000;
  }

  function offsetAt(seconds, tz) {
    return asUtc(partsOf(seconds, tz)) - Math.floor(seconds);
  }

  // The moment at which clocks show these parts; the first moment after them where clocks skip them
  function toSeconds(parts, tz) {
    const wanted = asUtc(parts);
    let moment = wanted - offsetAt(wanted, tz);
    moment = wanted - offsetAt(moment, tz);
    const shown = moment + offsetAt(moment, tz);
    return shown < wanted ? moment + wanted - shown : moment;
  }

  // 0 is Monday
  function weekday(parts) {
    return (new Date(asUtc({ ...parts, hour: 0, minute: 0, second: 0 }) * 1000).getUTCDay() + 6) % 7;
  }

  // When the unit ("minute", "hour", "day", "week", "month", "year") that holds a moment began
  function startOf(seconds, unit, tz) {
    const p = partsOf(seconds, tz);
    // Not by the parts: an hour that clocks show twice begins twice
    if (unit === "minute") return Math.floor(seconds) - p.second;
    if (unit === "hour") return Math.floor(seconds) - p.second - p.minute * 60;
    if (unit === "day") return toSeconds({ year: p.year, month: p.month, day: p.day }, tz);
    if (unit === "week") return toSeconds({ year: p.year, month: p.month, day: p.day - weekday(p) }, tz);
    if (unit === "month") return toSeconds({ year: p.year, month: p.month }, tz);
    return toSeconds({ year: p.year }, tz);
  }

  function daysIn(year, month) {
    return new Date(Date.UTC(year, month, 0)).getUTCDate();
  }

  // The moment n units later, at the same time on the wall; 31 March less a month is 28 February
  function add(seconds, n, unit, tz) {
    if (unit === "second") return seconds + n;
    if (unit === "minute") return seconds + n * 60;
    if (unit === "hour") return seconds + n * 3600;
    const p = partsOf(seconds, tz);
    if (unit === "day") return toSeconds({ ...p, day: p.day + n }, tz);
    if (unit === "week") return toSeconds({ ...p, day: p.day + 7 * n }, tz);
    const month = p.month - 1 + (unit === "year" ? 12 * n : n);
    const year = p.year + Math.floor(month / 12);
    const ofYear = ((month % 12) + 12) % 12 + 1;
    return toSeconds({ ...p, year, month: ofYear, day: Math.min(p.day, daysIn(year, ofYear)) }, tz);
  }

  // "2026-11-30", or "2026-11-30T14:00"
  function toText(seconds, tz, withTime) {
    const p = partsOf(seconds, tz);
    const two = number => String(number).padStart(2, "0");
    const date = `${String(p.year).padStart(4, "0")}-${two(p.month)}-${two(p.day)}`;
    return withTime ? `${date}T${two(p.hour)}:${two(p.minute)}` : date;
  }

  // The parts of such a text, or null
  function parse(text) {
    const match = /^(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2}))?$/.exec(text ?? "");
    if (!match) return null;
    const [year, month, day, hour = 0, minute = 0] = match.slice(1).map(value => value === undefined ? undefined : Number(value));
    if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || year < 1971) return null;
    return { year, month, day, hour, minute, hasTime: match[4] !== undefined };
  }

  return { isValid, ofBrowser, names, partsOf, toSeconds, startOf, add, toText, parse };
})();
