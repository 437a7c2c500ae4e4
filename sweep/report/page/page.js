// The page's own behaviour: choosing what the map shows, one network's curves, sorting and filtering the table.
"use strict";

const $ = (id) => document.getElementById(id);
const ROWS_PER_PAGE = 25;
const state = { stat: measureOf("std") ? "std" : STUDY.measures[0].name, ...STUDY.layout, held: {}, chosen: null,
  curve: "std", sort: null, descending: false, page: 0 };
for (const axis of AXES) state.held[axis] = STUDY.axes[axis].length - 1; // a size at its greatest
for (const axis of ["init", "act"]) state.held[axis] = 0;

function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => {
    const option = document.createElement("option");
    option.value = value; option.textContent = text; option.selected = value === String(chosen);
    return option;
  }));
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const NO_AXIS = { x: [], y: [], rows: [["", "none"]], cols: [["", "none"]] }; // across and down there is always one
const EMBED = { renderer: "svg", actions: false, tooltip: { disableDefaultStyle: true } };
let drawing = 0;

// ---- the map

function fillControls() {
  options($("stat"), STUDY.measures.map((m) => [m.name, m.title === m.name ? m.name : `${m.name}: ${m.title}`]), state.stat);
  for (const role of ROLES) options($(role), [...NO_AXIS[role], ...AXES.map((axis) => [axis, axis])], state[role]);
  $("held").replaceChildren(...heldAxes(state).map((axis) => {
    const label = element("label", `${axis} held at`), select = document.createElement("select");
    select.id = `held-${axis}`;
    options(select, STUDY.axes[axis].map((text, code) => [String(code), text]), state.held[axis]);
    select.addEventListener("change", () => { state.held[axis] = Number(select.value); drawMap(); });
    label.append(select);
    return label;
  }));
}

// An axis has one place: taking it from another role gives that role the axis given up.
function setRole(role, axis) {
  const other = ROLES.find((name) => name !== role && axis && state[name] === axis);
  if (other) state[other] = state[role] || (NO_AXIS[other].length ? "" : AXES.find((a) => a !== axis && !usedAxes(state).includes(a)));
  state[role] = axis;
  fillControls();
  drawMap();
}

async function drawMap() {
  const mine = ++drawing, points = shown(state), target = $("map");
  $("map-note").textContent = points.length ? "" : "No network at these values: hold the other axes at others.";
  const { spec, measure } = mapSpec(state, points.length ? points : [0], target.clientWidth || 600);
  const made = await vegaEmbed(target, spec, EMBED);
  if (mine !== drawing) return;
  target.setAttribute("aria-label", `Heatmap of ${measure.title}`);
  made.view.addEventListener("click", (_, item) => item && item.datum && item.datum.point !== undefined && choose(item.datum.point));
  prepareSquares(target);
  drawLegend(measure, points);
  target.dataset.drawn = [state.stat, ...usedAxes(state)].join(" ");
}

function squares() { return [...$("map").querySelectorAll(".square")]; }

function prepareSquares(target) {
  for (const path of target.querySelectorAll(".role-mark.mark-rect path")) {
    const item = path.__data__;
    if (!item || !item.datum || item.datum.point === undefined) continue;
    path.classList.add("square");
    path.dataset.point = item.datum.point;
    path.setAttribute("role", "button");
    path.removeAttribute("aria-roledescription");
    path.setAttribute("aria-label", item.datum.label);
    path.setAttribute("tabindex", "-1");
  }
  for (const group of target.querySelectorAll(".role-mark.mark-rect")) group.setAttribute("role", "group");
  for (const group of target.querySelectorAll(".role-mark.mark-text")) group.classList.add("squares");
  for (const svg of target.querySelectorAll("svg")) svg.setAttribute("role", "group");
  const all = squares();
  const first = all.find((path) => Number(path.dataset.point) === state.chosen) || all[0];
  if (first) first.setAttribute("tabindex", "0");
  mark();
}

function mark() {
  for (const path of squares()) {
    const chosen = Number(path.dataset.point) === state.chosen;
    path.classList.toggle("chosen", chosen);
    path.setAttribute("aria-pressed", String(chosen));
    if (chosen) {
      for (const other of squares()) other.setAttribute("tabindex", "-1");
      path.setAttribute("tabindex", "0");
    }
  }
}

const WAYS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

$("map").addEventListener("keydown", (event) => {
  const here = event.target.closest && event.target.closest(".square");
  if (!here) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    choose(Number(here.dataset.point));
    return;
  }
  const way = WAYS[event.key];
  if (!way) return;
  event.preventDefault();
  const middle = (path) => { const box = path.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; };
  const [x, y] = middle(here);
  let best = null, least = Infinity;
  for (const path of squares()) {
    const [u, v] = middle(path), ahead = (u - x) * way[0] + (v - y) * way[1];
    const aside = Math.abs((u - x) * way[1]) + Math.abs((v - y) * way[0]);
    if (ahead > 1 && ahead + 4 * aside < least) { best = path; least = ahead + 4 * aside; }
  }
  if (!best) return;
  here.setAttribute("tabindex", "-1");
  best.setAttribute("tabindex", "0");
  best.focus();
});

function drawLegend(measure, points) {
  const legend = $("legend"), ramp = STUDY.ramps[measure.ramp];
  legend.replaceChildren();
  if (ramp) {
    const box = element("div", "", { class: "ramp" }), bar = element("div", "", { class: "bar" }), ticks = element("div", "", { class: "ticks" });
    bar.style.background = `linear-gradient(to right, ${ramp.join(", ")})`;
    ticks.append(...measure.ticks.map(([share, text]) =>
      element("span", text, { style: `left: ${100 * share}%; transform: translateX(${-100 * share}%)` })));
    box.append(bar, ticks);
    legend.append(box);
  }
  for (const verdict of STUDY.words.filter((one) => points.some((p) => word(p) === one))) {
    const sign = ramp ? verdict.mark : verdict.letter;
    if (!sign) continue;
    const entry = element("span", ""), chip = element("span", sign, { class: "chip" });
    if (!ramp) Object.assign(chip.style, { background: verdict.colour, color: STUDY.inks[verdict.colour] });
    entry.append(chip, verdict.word);
    legend.append(entry);
  }
  if (ramp && points.some((p) => STUDY.seeds[p] && Number.isNaN(part(measure.name, "value", p)))) legend.append(element("span", "· not defined"));
}

// ---- one network

async function choose(point) {
  state.chosen = point;
  mark();
  $("detail-title").textContent = networkName(point);
  const measure = measureOf(state.stat);
  const lines = [`${measure.name} ${valueText(measure, point)}`];
  if (measure.scale !== "word") lines.push(`theory ${theoryText(measure.name, point)}`);
  const since = part("verdict_layer", "value", point);
  lines.push(`verdict ${word(point).word}${Number.isFinite(since) ? ` from layer ${plain(measureOf("verdict_layer"), point)}` : ""}`, `seeds ${seedsText(point)}`);
  $("detail-text").textContent = lines.join(" · ");
  await drawCurves();
}

async function drawLines(id, spec) {
  if (spec) await vegaEmbed($(id), spec, EMBED);
  else $(id).replaceChildren(element("p", "Not defined, or zero, at every layer.", { class: "faint" }));
}

async function drawCurves() {
  const point = state.chosen, width = Math.max(220, $("curve-chart").clientWidth - 4);
  if (point === null) return;
  const has = STUDY.curves.layers[point] && STUDY.curves.layers[point].length;
  $("curve-note").textContent = !has ? "No layers are stored for this network."
    : "Band: all seeds. Grey: theory. Forward: rms of h; backward, dashed: rms of dL/dh." + (STUDY.curves.thinned ? " Some layers are left out; the Parquet files have them all." : "");
  if (!has) { $("curve-chart").replaceChildren(); $("flow-chart").replaceChildren(); return; }
  const measure = measureOf(state.curve) || { name: state.curve, scale: "signed" };
  const name = networkName(point);
  await drawLines("curve-chart", curveSpec(curveRows(point, state.curve, "measured"), geometric(measure), state.curve, width, `${state.curve} by layer of ${name}`));
  const both = [...curveRows(point, "rms", "forward"), ...curveRows(point, "delta_rms", "backward")];
  await drawLines("flow-chart", curveSpec(both, true, "rms", width, `forward and backward rms by layer of ${name}`));
  for (const id of ["curve-chart", "flow-chart"]) for (const svg of $(id).querySelectorAll("svg")) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${id === "curve-chart" ? state.curve : "forward and backward rms"} by layer of ${name}`);
  }
  $("detail").dataset.point = point;
  $("detail").dataset.curve = state.curve;
}

// ---- the table

const STATS = ["std", "rms", "mean", "flat", "sample_cosine", "delta_std_first", "grad_std_first"].filter((name) => STUDY.stats[name]);
const SHOWN_AXES = AXES.filter((axis) => STUDY.axes[axis].length > 1 || ["init", "act", "depth", "width"].includes(axis));
const COLUMNS = [
  ...SHOWN_AXES.map((axis) => ({ name: axis, numeric: axis === "depth" || axis === "width",
    key: (p) => STUDY.codes[axis][p], text: (p) => textOf(axis, p) })),
  { name: "verdict", key: (p) => word(p).word, text: (p) => word(p).word },
  { name: "seeds", numeric: true, key: (p) => STUDY.seeds[p], text: seedsText },
  ...STATS.map((name) => ({ name, numeric: true, key: (p) => part(name, "value", p),
    text: (p) => number(part(name, "value", p)) + spreadText(measureOf(name), p) })),
  ...(STUDY.stats.std && STUDY.stats.std.theory ? [{ name: "theory_std", numeric: true, key: (p) => part("std", "theory", p), text: (p) => number(part("std", "theory", p)) }] : []),
];
const HAY = Array.from({ length: COUNT }, (_, p) =>
  [...AXES.flatMap((axis) => { const text = textOf(axis, p); return [text, `${axis}=${text}`]; }), word(p).word].join(" ").toLowerCase());

function tableRows() {
  const terms = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean), verdict = $("verdict-filter").value;
  const fits = (hay, text) => text.includes("=") ? ` ${hay} `.includes(` ${text} `) : hay.includes(text);
  const rows = [];
  for (let p = 0; p < COUNT; p++) {
    if (terms.every((text) => fits(HAY[p], text)) && (!verdict || word(p).word === verdict)) rows.push(p);
  }
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

function drawTable() {
  const rows = tableRows(), pages = Math.max(1, Math.ceil(rows.length / ROWS_PER_PAGE));
  state.page = Math.min(state.page, pages - 1);
  const from = state.page * ROWS_PER_PAGE, here = rows.slice(from, from + ROWS_PER_PAGE);
  $("table").tBodies[0].replaceChildren(...here.map((p) => {
    const row = document.createElement("tr");
    row.append(...COLUMNS.map((column, i) => {
      const cell = element("td", "", column.numeric ? { class: "number" } : {});
      if (i === 0) {
        const button = element("button", column.text(p), { type: "button", class: "link", "aria-label": `Show ${networkName(p)}` });
        button.addEventListener("click", () => { choose(p); $("detail").scrollIntoView({ block: "nearest" }); });
        cell.append(button);
      } else cell.textContent = column.text(p);
      return cell;
    }));
    return row;
  }));
  const range = rows.length > here.length ? `${from + 1}–${from + here.length} of ` : "";
  const of = rows.length < COUNT ? ` of ${COUNT}` : "";
  $("count").textContent = `${range}${rows.length}${of} network${COUNT === 1 ? "" : "s"}`;
  $("previous").disabled = state.page === 0;
  $("next").disabled = state.page >= pages - 1;
  for (const head of $("table").tHead.rows[0].cells) {
    const [direction, arrow] = head.dataset.name !== state.sort ? ["none", ""] : state.descending ? ["descending", " ▾"] : ["ascending", " ▴"];
    head.setAttribute("aria-sort", direction);
    head.firstChild.textContent = head.dataset.name + arrow;
  }
}

$("table").tHead.rows[0].append(...COLUMNS.map((column) => {
  const head = element("th", "", { scope: "col", "data-name": column.name, ...(column.numeric ? { class: "number" } : {}) });
  const button = element("button", column.name, { type: "button" });
  button.addEventListener("click", () => {
    state.descending = state.sort === column.name && !state.descending;
    state.sort = column.name;
    state.page = 0;
    drawTable();
  });
  head.append(button);
  return head;
}));

// ---- start

// The network to begin with: a healthy one, the deepest and widest of those shown.
function first() {
  const points = shown(state), rank = (p) => [word(p).word === "healthy", STUDY.codes.depth[p], STUDY.codes.width[p]];
  const better = (a, b) => rank(a).reduce((way, value, i) => way || value - rank(b)[i], 0) > 0;
  return points.reduce((best, p) => (better(p, best) ? p : best), points[0] ?? 0);
}

options($("verdict-filter"), [["", "all"], ...STUDY.words.filter((_, code) => STUDY.verdict.includes(code)).map(({ word }) => [word, word])], "");
if (!STUDY.curves.names.includes(state.curve)) state.curve = STUDY.curves.names[0] || "std";
options($("curve"), STUDY.curves.names.map((name) => [name, name]), state.curve);
$("stat").addEventListener("change", () => { state.stat = $("stat").value; drawMap(); if (state.chosen !== null) choose(state.chosen); });
for (const role of ROLES) $(role).addEventListener("change", () => setRole(role, $(role).value));
$("curve").addEventListener("change", () => { state.curve = $("curve").value; drawCurves(); });
for (const id of ["filter", "verdict-filter"]) $(id).addEventListener("input", () => { state.page = 0; drawTable(); });
$("previous").addEventListener("click", () => { state.page--; drawTable(); });
$("next").addEventListener("click", () => { state.page++; drawTable(); });
let width = window.innerWidth, waiting = null;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(() => { drawMap(); drawCurves(); }, 150);
});
fillControls();
drawTable();
drawMap().then(() => choose(first())).then(() => { document.body.dataset.ready = "yes"; });
