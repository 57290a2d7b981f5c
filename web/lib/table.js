// A table that is filled again every few seconds. Rows are told apart by a key, and a cell whose text
// stays is left alone: the focus, a selection and what is open in a row survive.
//
//   const workers = liveTable({
//     caption: "Workers",
//     key: worker => worker.worker,
//     columns: [
//       { title: "Worker", text: worker => worker.worker, isHeader: true },
//       { title: "Last error", text: worker => worker.last_error, isData: true },
//       { title: "State", signature: worker => worker.state, make: worker => badge(worker.state) },
//     ],
//     empty: "There is none.",
//   });
//   workers.show(list);
//
// isData: the text comes from events or from elsewhere, so it is isolated; isNumber: it is aligned to the
// end; make() makes nodes, again when their signature has changed; change(cell, item) is called each time.
// look: the class of the table; hasNoHead: the titles of columns are for those only who do not see it.
const liveTable = ({ caption, columns, key, empty = "", look = "table", hasNoHead = false }) => {
  const body = dom.el("tbody");
  const table = dom.el("table", { class: hasNoHead ? `${look} pairs` : look },
    dom.el("caption", { class: "hidden" }, caption),
    dom.el("thead", { class: hasNoHead && "hidden" }, dom.el("tr", {}, columns.map(column =>
      dom.el("th", { scope: "col", class: column.isNumber && "number" }, column.title)))),
    body);
  const nothing = dom.el("p", { class: "dim nothing" }, empty);
  // Nothing is said before the first answer
  const element = dom.el("div", { hidden: true }, table, nothing);
  let rows = new Map();

  // The title of the column stands before each cell where the window is narrow
  function cellOf(column) {
    return dom.el(column.isHeader ? "th" : "td", {
      scope: column.isHeader && "row", class: column.isNumber && "number", "data-title": typeof column.title === "string" && column.title,
    });
  }

  function fill(cell, column, item) {
    const text = column.make ? column.signature?.(item) ?? "" : column.text(item) ?? "";
    if (cell.shownText !== text) {
      cell.shownText = text;
      if (column.make) dom.replace(cell, column.make(item));
      else if (column.isData && text !== "") dom.replace(cell, dom.el("bdi", { dir: "auto" }, text));
      else cell.textContent = text;
      cell.classList.toggle("empty", cell.childNodes.length === 0);
    }
    column.change?.(cell, item);
  }

  function show(items) {
    element.hidden = false;
    table.hidden = items.length === 0;
    nothing.hidden = items.length > 0 || empty === "";
    rows = steady.show(body, rows, items, {
      keyOf: item => String(key(item)),
      make: () => dom.el("tr", {}, columns.map(cellOf)),
      change: (row, item) => columns.forEach((column, i) => fill(row.cells[i], column, item)),
    });
  }

  return { element, show };
};
