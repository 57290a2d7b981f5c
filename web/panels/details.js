// The whole list of a breakdown in a dialog: searched, sorted by any column, loaded page by page
const details = (() => {
  const PAGE = 1000;
  const MOST_ROWS = 500;
  const COLUMNS = [
    { name: "users", label: "Users", of: row => row.unique_users, write: format.number },
    { name: "events", label: "Events", of: row => row.total_events, write: format.number },
    { name: "per-user", label: "Per user", of: row => row.unique_users > 0 ? row.total_events / row.unique_users : null, write: format.decimal },
    { name: "share", label: "Share", of: (row, total) => total > 0 ? row.total_events / total : null, write: format.percent },
  ];

  function open(name) {
    const abort = new AbortController();
    const list = { name, rows: [], total: 0, cursor: null, sort: "events", descending: true, limit: MOST_ROWS };
    const search = dom.el("input", { type: "search", class: "search", "aria-label": "Search this list", placeholder: "Search", autocomplete: "off", spellcheck: "false", autofocus: true });
    const table = dom.el("div", { class: "table-scroll details-table" });
    const status = dom.el("p", { class: "dim", role: "status" }, "Loading");
    const more = dom.el("div", { class: "buttons" });
    const title = groups.title(name);
    const of = state.get();

    const box = dialog.open(title, [
      dom.el("div", { class: "details-tools" }, search,
        api.fileLink(overview.metricsAddress(of, [["group_by", name], ["format", "csv"]]), `${name}.csv`, { class: "button" }, "CSV"),
        dom.el("button", { type: "button", class: "button", onclick: () => dialog.showSql(title, sql.groups(overview.questionOf(of), name)) }, "SQL")),
      table, status, more,
    ], { wide: true, onclose: () => abort.abort() });

    async function load(all) {
      dom.replace(more);
      try {
        do {
          status.textContent = list.rows.length ? `Loading more than ${format.number(list.rows.length)}` : "Loading";
          const answer = await api.get(overview.metricsAddress(of, [["group_by", name], ["limit", PAGE], ["cursor", list.cursor]]), { signal: abort.signal });
          list.rows.push(...answer.data);
          list.total = answer.total_events;
          list.cursor = answer.next_cursor ?? null;
          draw();
        } while (all && list.cursor);
      } catch (error) {
        if (!(error instanceof api.ApiError)) {
          if (abort.signal.aborted) return;
          throw error;
        }
        dom.replace(status, dom.el("span", { class: "bad" }, error.message, ". "), error.advice, error.detail && dom.el("span", { class: "notice-detail", dir: "auto" }, error.detail));
        dom.replace(more, dom.el("button", { type: "button", class: "button", onclick: () => load(all) }, "Try again"));
      }
    }

    function sorted() {
      const words = search.value.toLocaleLowerCase();
      const found = list.rows.filter(({ group }) => words === "" || (group ?? "").toLocaleLowerCase().includes(words));
      const column = COLUMNS.find(other => other.name === list.sort);
      const sign = list.descending ? -1 : 1;
      if (!column) return found.sort((a, b) => sign * (a.group ?? "").localeCompare(b.group ?? ""));
      return found.sort((a, b) => sign * ((column.of(a, list.total) ?? -1) - (column.of(b, list.total) ?? -1)));
    }

    function heading(column, label, attributes) {
      const isSorted = list.sort === column;
      const button = dom.el("button", { type: "button", class: "sort", "data-sort": column }, label,
        dom.el("span", { class: "sort-arrow", "aria-hidden": "true" }, isSorted ? list.descending ? "↓" : "↑" : ""));
      button.addEventListener("click", () => {
        list.descending = isSorted ? !list.descending : column !== "name";
        list.sort = column;
        draw();
        table.querySelector(`[data-sort="${column}"]`)?.focus();
      });
      return dom.el("th", { scope: "col", "aria-sort": isSorted ? list.descending ? "descending" : "ascending" : null, ...attributes }, button);
    }

    function draw() {
      const found = sorted();
      const most = list.rows.reduce((highest, row) => Math.max(highest, row.total_events), 0);
      dom.replace(table, dom.el("table", { class: "groups" },
        dom.el("caption", { class: "hidden" }, title),
        dom.el("thead", {}, dom.el("tr", {}, heading("name", "Name"), COLUMNS.map(({ name: column, label }) => heading(column, label, { class: `number column-${column}` })))),
        dom.el("tbody", {}, found.slice(0, list.limit).map(row => dom.el("tr", {},
          dom.el("th", { scope: "row" }, groups.bars(row, most), groups.link(name, row, () => box.close())),
          COLUMNS.map(({ name: column, of: value, write }) => dom.el("td", { class: `number column-${column}` }, write(value(row, list.total)))))))));
      const loaded = list.cursor ? `the ${format.number(list.rows.length)} with most events are loaded` : `${format.number(list.rows.length)} in all`;
      status.textContent = `${search.value ? `${format.number(found.length)} found; ` : ""}${loaded}.${list.cursor ? " Search and sort see these only." : ""}`;
      dom.replace(more,
        found.length > list.limit && dom.el("button", { type: "button", class: "button", onclick: () => { list.limit += MOST_ROWS; draw(); } }, "Show more"),
        list.cursor && dom.el("button", { type: "button", class: "button", onclick: () => load(false) }, `Load ${format.number(PAGE)} more`),
        list.cursor && dom.el("button", { type: "button", class: "button", onclick: () => load(true) }, "Load all"));
    }

    search.addEventListener("input", draw);
    box.addEventListener("keydown", event => {
      if (event.key !== "/" || event.target === search) return;
      event.preventDefault();
      search.focus();
    });
    load(false);
  }

  return { open };
})();
