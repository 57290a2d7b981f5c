// The groups of a breakdown: what they are called, and which filter a row is
const groups = (() => {
  const TITLES = { event: "Events", channel: "Channels", site: "Websites", page: "Pages", campaign: "Campaigns", campaign_id: "Campaigns", country: "Countries",
    device: "Devices", source: "Sources", plan: "Plans", label: "Labels", tag: "Tags", browser: "Browsers", os: "Systems", referrer: "Referrers", city: "Cities" };
  // Parameters of the API are no filters
  const NO_FILTERS = new Set(["event_name", "from", "to", "group_by", "step", "timezone", "week_start", "fill", "align", "limit", "cursor", "format", "top", "cards", "compare_from", "compare_to", "slow_cards"]);

  function title(name) {
    if (Object.hasOwn(TITLES, name)) return TITLES[name];
    const words = name.replace(/_/g, " ");
    return words.charAt(0).toLocaleUpperCase() + words.slice(1);
  }

  const isSelected = (name, group) => name === "event" ? state.get().event === group : (state.get().filters[name] ?? []).includes(group);

  // The change of the state that a row is, or null
  function patch(name, group, several) {
    if (group === null || group === "" || NO_FILTERS.has(name)) return null;
    if (name === "event") return { event: state.get().event === group ? "" : group };
    return state.toggled(name, group, several);
  }

  // The name of a group, which a click makes a filter. onchoose: what else happens then.
  function link(name, row, onchoose) {
    const { group } = row;
    if (group === null) return dom.el("span", { class: "row-link none", title: "Keys beyond what the breakdown keeps apart (max_keys), counted together" }, "All others");
    if (group === "") return dom.el("span", { class: "row-link none" }, "(empty)");
    const change = patch(name, group, false);
    if (!change) return dom.el("span", { class: "row-link" }, dom.data(group));
    const node = dom.el("a", {
      class: "row-link", href: state.href(change), "data-key": `${name}:${group}`,
      "aria-current": isSelected(name, group) ? "true" : null,
    }, dom.data(group));
    node.addEventListener("click", event => {
      // Ctrl or Cmd adds a value to those that are there
      const several = (event.ctrlKey || event.metaKey) && name !== "event";
      if (event.button !== 0 || event.shiftKey || event.altKey || ((event.ctrlKey || event.metaKey) && !several)) return;
      event.preventDefault();
      onchoose?.();
      state.set(patch(name, group, several));
    });
    return node;
  }

  // Two bars behind a name: events, and within them users
  function bars(row, most) {
    const width = value => `${most > 0 ? Math.max(value > 0 ? 0.6 : 0, 100 * value / most) : 0}%`;
    return dom.el("span", { class: "bars", "aria-hidden": "true" },
      dom.el("span", { class: "bar", style: { width: width(row.total_events) } }),
      dom.el("span", { class: "bar users", style: { width: width(row.unique_users) } }));
  }

  // The groups of an answer of /metrics as the choices of a picker, with their events
  const choices = ({ data }, without = []) => data.filter(({ group }) => group && !without.includes(group))
    .map(({ group, total_events }) => ({ value: group, label: group, hint: format.compact(total_events) }));

  return { title, link, bars, choices };
})();

// What is wrong with a part of the view. What only came too late can be asked for alone.
function problemText(error, retry) {
  if ((error === "" || error.startsWith("not computed")) && retry) {
    return ["Left out, because it takes long. ", dom.el("button", { type: "button", class: "button small", onclick: retry }, "Load it")];
  }
  return [dom.el("strong", {}, "This could not be answered. "), "Ask for whole days, for a shorter range, or with fewer filters.",
    dom.el("span", { class: "notice-detail", dir: "auto" }, error)];
}
