// The top of the page: websites, events, views, who is there now, range, comparison and settings
const header = (() => {
  const ALL_SITES = "All websites";
  const ALL_EVENTS = "All events";
  const parts = {};

  async function choices(by, everything, pairs = []) {
    const { from, to } = period.resolve(state.get());
    const answer = await api.get(api.path("metrics", [["group_by", by], ["from", from], ["to", to], ["limit", 1000], ...pairs]));
    return [{ value: "", label: everything }, ...groups.choices(answer)];
  }

  function siteChoices() {
    const { sites } = access.get();
    if (sites) return sites.map(site => ({ value: site, label: site }));
    return choices("site", ALL_SITES);
  }

  function eventChoices() {
    const site = state.get().filters.site;
    return choices("event", ALL_EVENTS, site ? api.filterPairs({ site }) : []);
  }

  function picker(label, part, options) {
    parts[part] = dom.el("span", { class: "picked" });
    return combobox.button({ class: "picker", "aria-label": label }, [parts[part], dom.icon("down")], options);
  }

  const pickSite = value => state.set(state.withFilter("site", value === "" ? [] : [value]));

  function viewLinks() {
    parts.views = views.all().map(({ name, title }) => ({ name, link: dom.el("a", { onclick: clicked => follow(clicked, { view: name }) }, title) }));
    return dom.el("nav", { "aria-label": "Views", class: "views" }, parts.views.map(({ link }) => link));
  }

  // 1 is the website with most events
  async function pickNth(index) {
    const found = (await siteChoices()).filter(({ value }) => value !== "");
    if (found[index]) pickSite(found[index].value);
  }

  function build() {
    keyboard.add("0", ALL_SITES, () => pickSite(""), { group: "Websites" });
    keyboard.add([..."123456789"], "First to ninth website", key => { pickNth(Number(key) - 1).catch(notice.error); }, { shown: "1–9", group: "Websites" });
    keyboard.add("/", "Search the websites", () => parts.sitePicker.checkVisibility() ? parts.sitePicker.click() : false, { group: "Websites" });
    parts.sitePicker = picker("Website", "site", () => ({ label: "Websites", load: siteChoices, selected: state.get().filters.site?.[0] ?? "", choose: pickSite }));
    parts.eventPicker = picker("Event", "event", () => ({ label: "Events", load: eventChoices, selected: state.get().event, choose: event => state.set({ event }) }));
    dom.replace(dom.byId("pickers"), parts.sitePicker, parts.eventPicker);
    dom.replace(dom.byId("nav"), viewLinks());
    dom.replace(dom.byId("tools"), rangeMenu.build(), settings.build());
  }

  function show(part, value, everything) {
    dom.replace(parts[part], value ? dom.data(value) : everything);
  }

  function update() {
    const { filters, event, view } = state.get();
    const sites = filters.site ?? [];
    show("site", sites.length > 1 ? `${sites.length} websites` : sites[0], ALL_SITES);
    parts.sitePicker.setAttribute("aria-label", `Website: ${sites.join(", ") || ALL_SITES}`);
    show("event", event, ALL_EVENTS);
    parts.eventPicker.setAttribute("aria-label", `Event: ${event || ALL_EVENTS}`);
    for (const { name, link } of parts.views) dom.setAttributes(link, { href: state.href({ view: name }), "aria-current": name === view ? "page" : null });
    rangeMenu.update();
    document.title = [sites.length === 1 ? sites[0] : "", event, "fast_ingest"].filter(Boolean).join(" · ");
  }

  // A link within the page: without a request, unless it is to open elsewhere
  function follow(event, patch) {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    state.set(patch);
  }

  return { build, update, follow };
})();
