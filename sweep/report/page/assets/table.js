// The table of all networks: its columns, sorting, pages, and its download.
"use strict";

const ROWS_PER_PAGE = 25;
const MOST_PRINTED = 1000; // rows of the table on paper
const FIRST_STATS = ["std", "rms", "mean", "flat", "sample_cosine", "delta_std_first", "grad_std_first", "theory_std"];

// Every column there is. fixed: it tells networks apart, so it is always there. raw: its value in the download.
const COLUMNS = [
  ...NAMING_AXES.map((axis) => ({ name: axis, fixed: STUDY.axes[axis].length > 1, first: true, numeric: axis === "depth" || axis === "width",
    key: (p) => STUDY.codes[axis][p], text: (p) => (axis === "init" ? titled(axis, p) : textOf(axis, p)) })),
  { name: "verdict", first: true, key: (p) => word(p).word, text: (p) => word(p).word },
  { name: "seeds", first: true, numeric: true, key: (p) => STUDY.seeds[p], text: seedsText, raw: (p) => String(STUDY.seeds[p]) },
  ...Object.keys(STUDY.stats).flatMap((name) => [["value", name], ["theory", `theory_${name}`]]
    .filter(([key]) => STUDY.stats[name][key])
    .map(([key, column]) => ({ name: column, first: FIRST_STATS.includes(column), numeric: true, key: (p) => part(name, key, p),
      text: (p) => (key === "theory" ? number(part(name, key, p)) : plain(measureOf(name), p) + spreadText(measureOf(name), p)),
      raw: (p) => rawNumber(part(name, key, p)) }))),
];

function rawNumber(value) {
  return Number.isNaN(value) ? "" : Number.isFinite(value) ? String(value) : value > 0 ? "inf" : "-inf";
}

function chosenColumns() {
  return COLUMNS.filter((column) => column.fixed || (state.columns ? state.columns.includes(column.name) : column.first));
}

// The points that pass the filter, sorted.
function tableRows() {
  const { test, complaint } = filterOf($("filter").value), verdict = $("verdict-filter").value;
  $("filter-complaint").textContent = complaint;
  $("filter").setAttribute("aria-invalid", String(complaint !== ""));
  const rows = [];
  for (let p = 0; p < COUNT; p++) if (test(p) && (!verdict || word(p).word === verdict)) rows.push(p);
  const column = COLUMNS.find((c) => c.name === state.sort);
  if (column) {
    const missing = (v) => v === undefined || Number.isNaN(v);
    rows.sort((a, b) => {
      const u = column.key(a), v = column.key(b);
      if (missing(u) || missing(v)) return missing(u) - missing(v); // undefined last, whichever way
      return (u < v ? -1 : u > v ? 1 : 0) * (state.descending ? -1 : 1);
    });
  }
  return rows;
}

function tableRow(p, columns) {
  const row = document.createElement("tr");
  row.append(...columns.map((column, i) => {
    const cell = element("td", "", column.numeric ? { class: "number" } : {});
    if (i === 0) {
      const button = element("button", column.text(p), { type: "button", class: "link", "aria-label": `Show ${networkName(p)}` });
      button.addEventListener("click", () => { choose(p); $("detail").scrollIntoView({ block: "nearest" }); });
      cell.append(button);
    } else cell.textContent = column.text(p);
    return cell;
  }));
  return row;
}

function sortBy(column) {
  state.descending = state.sort === column.name && !state.descending;
  state.sort = column.name;
  state.page = 0;
  drawTable();
}

function drawHead(columns) {
  const focused = document.activeElement && document.activeElement.closest("#table th");
  const heads = columns.map((column) => {
    const head = element("th", "", { scope: "col", "data-name": column.name, ...(column.numeric ? { class: "number" } : {}) });
    const [direction, arrow] = column.name !== state.sort ? ["none", ""] : state.descending ? ["descending", " ▾"] : ["ascending", " ▴"];
    const button = element("button", column.name + arrow, { type: "button" });
    button.addEventListener("click", () => sortBy(column));
    head.setAttribute("aria-sort", direction);
    head.append(button);
    return head;
  });
  $("table").tHead.rows[0].replaceChildren(...heads);
  const again = focused && heads.find((head) => head.dataset.name === focused.dataset.name);
  if (again) again.firstChild.focus();
}

// rowsPerPage: all of them for paper.
function drawTable(rowsPerPage = ROWS_PER_PAGE) {
  const rows = tableRows(), columns = chosenColumns(), pages = Math.max(1, Math.ceil(rows.length / rowsPerPage));
  const page = Math.min(state.page, pages - 1);
  if (rowsPerPage === ROWS_PER_PAGE) state.page = page;
  const from = page * rowsPerPage, here = rows.slice(from, from + rowsPerPage);
  $("table").tBodies[0].replaceChildren(...here.map((p) => tableRow(p, columns)));
  drawHead(columns);
  $("table").style.setProperty("--columns", columns.length);
  const range = rows.length > here.length ? `${from + 1}–${from + here.length} of ` : "";
  const of = rows.length < COUNT ? ` of ${COUNT}` : "";
  $("count").textContent = `${range}${rows.length}${of} network${COUNT === 1 ? "" : "s"}`;
  $("previous").disabled = page === 0;
  $("next").disabled = page >= pages - 1;
  remember();
}

function fillColumnChoice() {
  const names = chosenColumns().map((column) => column.name);
  $("columns").replaceChildren(...COLUMNS.map((column) => {
    const label = element("label", ""), box = element("input", "", { type: "checkbox", value: column.name });
    box.checked = names.includes(column.name);
    box.disabled = column.fixed === true;
    box.addEventListener("change", () => {
      const boxes = [...$("columns").querySelectorAll("input")];
      state.columns = boxes.filter((one) => one.checked).map((one) => one.value);
      drawTable();
    });
    label.append(box, ` ${column.name}`);
    return label;
  }));
}

// The rows and columns that are shown, of all pages, as RFC 4180 wants them.
function asCsv() {
  const columns = chosenColumns(), quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = [columns.map((column) => column.name), ...tableRows().map((p) => columns.map((column) => (column.raw || column.text)(p)))];
  return lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}

function download() {
  const link = document.createElement("a"), url = URL.createObjectURL(new Blob([asCsv()], { type: "text/csv;charset=utf-8" }));
  link.href = url;
  link.download = `${STUDY.name.replace(/[^\w.-]+/g, "_")}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
