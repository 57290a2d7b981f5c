// The statement that answers what a part of the page shows, for psql
const sql = (() => {
  // What a terminal would act on when it is pasted there, and what turns the direction of text
  const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

  // A literal that means the same whatever standard_conforming_strings says
  function literal(text) {
    const quoted = `'${String(text).replaceAll("'", "''")}'`;
    const escaped = quoted.replaceAll("\\", "\\\\").replace(UNSAFE, unsafe => `\\u${unsafe.charCodeAt(0).toString(16).padStart(4, "0")}`);
    return escaped === quoted ? quoted : `E${escaped}`;
  }

  // A moment with its offset from UTC, so that the zone of the session does not matter
  function moment(seconds) {
    return literal(new Date(seconds * 1000).toISOString().replace("T", " ").replace(/\.000Z$/, "+00").replace(/Z$/, "+00"));
  }

  // Filters as the functions take them: {"site": "a", "plan": ["x", "y"], "metadata": {"m": "1"}}
  function filterObject(filters) {
    // Without a prototype, so that also __proto__ is a name
    const object = Object.create(null);
    for (const [name, values] of Object.entries(filters)) {
      const value = values.length === 1 ? values[0] : values;
      if (name.startsWith("metadata.")) (object.metadata ??= Object.create(null))[name.slice("metadata.".length)] = value;
      else object[name] = value;
    }
    return object;
  }

  // select("fi_metrics", [["event_name", literal("a")], ...]): what has no value is left out
  function select(name, pairs, columns = "*") {
    const given = pairs.filter(([, value]) => value !== null && value !== undefined);
    return `SELECT ${columns} FROM ${name}(${given.map(([argument, value]) => `\n    ${argument} => ${value}`).join(",")}\n);`;
  }

  function common(question) {
    const { event, from, to, filters } = question;
    return [
      ["event_name", event ? literal(event) : null],
      ["since", from === null ? null : moment(from)],
      ["until", to === null ? null : moment(to)],
      ["filter", Object.keys(filters).length ? literal(JSON.stringify(filterObject(filters))) : null],
    ];
  }

  const series = question => select("fi_series", [...common(question),
    ["step", literal(question.step)], ["time_zone", literal(question.tz)], ["align", "false"]], "time, total_events, unique_users");

  const groups = (question, by) => select("fi_metrics", [...common(question), ["group_by", literal(by)]]);

  return { literal, series, groups };
})();
