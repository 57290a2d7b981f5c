// The pages and event names of now. Each row is a filter; rows that change their place glide there.
panels.add((() => {
  const shows = [];

  // part: of the model; name: of the breakdown that a row filters by
  function card({ part, name, title, sinceOf, empty }) {
    const id = dom.newId("live-card");
    const since = dom.el("span", { class: "dim card-note" });
    const trouble = dom.el("p", { class: "card-problem", hidden: true });
    let most = 1;
    const table = liveTable({
      caption: `${title}, most events first`, look: "groups", empty, key: row => row.group === null ? "others" : `is ${row.group}`,
      columns: [
        {
          title: dom.el("span", { class: "hidden" }, title), isHeader: true, signature: () => location.search,
          make: row => [dom.el("span", { class: "bars" }), groups.link(name, row)],
          change: (cell, row) => cell.firstElementChild.replaceWith(groups.bars(row, most)),
        },
        { title: [dom.el("span", { class: "swatch users" }), "Users"], isNumber: true, text: row => format.compact(row.unique_users) },
        { title: [dom.el("span", { class: "swatch events" }), "Events"], isNumber: true, text: row => format.compact(row.total_events) },
      ],
    });

    shows.push(model => {
      const { rows = [], error } = model[part];
      most = Math.max(...rows.map(row => row.total_events), 1);
      since.textContent = sinceOf(model);
      trouble.hidden = !error;
      if (error) dom.replace(trouble, problemText(error));
      table.show(rows);
    });
    return dom.el("section", { class: "card group-card", "aria-labelledby": id },
      dom.el("div", { class: "card-head" }, dom.el("h3", { id }, title), since), trouble, table.element);
  }

  function build() {
    const halfHour = () => "last 30 minutes";
    return dom.el("div", { class: "live-cards" },
      card({
        part: "pages", name: "page", title: "Pages", empty: "No page was seen.",
        // GET /live knows pages by quarters of an hour
        sinceOf: model => model.pagesSince ? `since ${format.clock(model.pagesSince, state.timeZone())}` : halfHour(),
      }),
      card({ part: "events", name: "event", title: "Events", empty: "No event came.", sinceOf: halfHour }));
  }

  return { view: "live", build, show: answer => { for (const show of shows) show(live.read(answer)); } };
})());
