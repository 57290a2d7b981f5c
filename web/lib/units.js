// Bytes and durations as an operator reads them
const units = (() => {
  const SIZES = ["B", "kB", "MB", "GB", "TB", "PB"];

  // 64 MB is 64 * 1024 kB, as in PostgreSQL's settings
  function bytes(value) {
    if (!format.isKnown(value)) return "–";
    const power = Math.min(Math.floor(Math.log2(Math.max(value, 1)) / 10), SIZES.length - 1);
    const scaled = value / 1024 ** power;
    return `${format.number(scaled < 100 ? Math.round(scaled * 10) / 10 : Math.round(scaled))} ${SIZES[power]}`;
  }

  const digits = value => format.number(value < 10 ? Math.round(value * 10) / 10 : Math.round(value));

  // 0.4 ms, 12 ms, 3.5 s, 4 min, 2 h, 3 d
  function seconds(value) {
    if (!format.isKnown(value)) return "–";
    if (value > 0 && value < 1) return `${digits(value * 1000)} ms`;
    if (value < 120) return `${digits(value)} s`;
    if (value < 7200) return `${digits(value / 60)} min`;
    return value < 172_800 ? `${digits(value / 3600)} h` : `${digits(value / 86_400)} d`;
  }

  return { bytes, seconds };
})();
