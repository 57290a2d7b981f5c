// What the page shows is what its address says, and nothing else:
//   ?site=shop.example&event=page_view&period=30d&interval=day&compare=previous&metric=users
//    &from=2026-11-01&to=2026-11-30&tz=Europe/Berlin&view=live&plan=pro,free
// Any other name is a filter, written as the API takes it. What is the default is left out.
const state = (() => {
  const DEFAULTS = {
    view: "overview", event: "", period: "30d", from: "", to: "", interval: "", compare: "previous", metric: "users", tz: "", theme: "",
  };
  const listeners = [];
  let limit = of => of;
  let known = new Set([DEFAULTS.view]);
  let current;

  // "a,b\,c" is the two values "a" and "b,c"
  function splitValues(text) {
    const values = [""];
    for (let i = 0; i < text.length; i++) {
      if (text[i] === "\\" && i + 1 < text.length) values[values.length - 1] += text[++i];
      else if (text[i] === ",") values.push("");
      else values[values.length - 1] += text[i];
    }
    return values.filter(value => value !== "");
  }

  function joinValues(values) {
    return values.map(value => value.replace(/[\\,]/g, "\\$&")).join(",");
  }

  // Names that mean something else in an address are filters with this before them
  const toParameter = name => Object.hasOwn(DEFAULTS, name) || name.startsWith("filter.") ? `filter.${name}` : name;
  const fromParameter = name => name.startsWith("filter.") ? name.slice("filter.".length) : name;

  function parse(search) {
    const result = { ...DEFAULTS, filters: {} };
    for (const [name, value] of new URLSearchParams(search)) {
      if (value === "") continue;
      if (Object.hasOwn(DEFAULTS, name)) {
        result[name] = value;
        continue;
      }
      const values = splitValues(value);
      if (values.length > 0) result.filters[fromParameter(name)] = values;
    }
    if (result.tz !== "" && !zone.isValid(result.tz)) result.tz = "";
    if (!known.has(result.view)) result.view = DEFAULTS.view;
    return result;
  }

  // As readable as a URL may be
  function encode(text) {
    return encodeURIComponent(text).replace(/%2F/g, "/").replace(/%3A/g, ":").replace(/%2C/g, ",").replace(/%40/g, "@").replace(/%20/g, "+");
  }

  function toSearch(of) {
    const pairs = [];
    if (of.filters.site) pairs.push(["site", joinValues(of.filters.site)]);
    for (const [name, standard] of Object.entries(DEFAULTS)) if (of[name] !== standard && of[name] !== "") pairs.push([name, of[name]]);
    for (const [name, values] of Object.entries(of.filters)) if (name !== "site") pairs.push([toParameter(name), joinValues(values)]);
    return pairs.length ? `?${pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&")}` : "";
  }

  const get = () => current;
  const timeZone = () => current.tz || zone.ofBrowser();

  // The address of a change, for links
  function href(patch) {
    return location.pathname + toSearch(limit({ ...current, ...patch }));
  }

  function notify(before) {
    for (const listener of listeners) listener(current, before);
  }

  // Change some members. replace: the back button does not come back to what was before
  function set(patch, { replace = false } = {}) {
    const before = current;
    const address = href(patch);
    current = limit({ ...current, ...patch });
    if (address !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", address);
    notify(before);
  }

  // What the key does not allow is never asked for: the function changes a state to one that is allowed
  function limitTo(allowed) {
    limit = allowed;
    if (toSearch(limit(current)) !== toSearch(current)) set({}, { replace: true });
  }

  // The filters with one changed: no values removes it
  function withFilter(name, values) {
    const filters = { ...current.filters };
    if (values.length > 0) filters[name] = values;
    else delete filters[name];
    return { filters };
  }

  // Add a value of a filter, or take it away where it is there. several: beside those that are there.
  function toggled(name, value, several) {
    const values = current.filters[name] ?? [];
    if (values.includes(value)) return withFilter(name, several ? values.filter(other => other !== value) : values.length > 1 ? [value] : []);
    return withFilter(name, several ? [...values, value] : [value]);
  }

  // views: their names, of which an address may name one
  function start(views = []) {
    known = new Set([DEFAULTS.view, ...views]);
    current = parse(location.search);
    addEventListener("popstate", () => {
      const before = current;
      const next = limit(parse(location.search));
      // Also a link within the page is such an event
      if (toSearch(next) === toSearch(current)) return;
      current = next;
      notify(before);
    });
  }

  return { get, set, href, limitTo, timeZone, withFilter, toggled, joinValues, encode, start, onChange: listener => listeners.push(listener) };
})();
