// The map: what it shows, its squares under mouse and keys, its legend.
"use strict";

const NO_AXIS = { x: [], y: [], rows: [["", "none"]], cols: [["", "none"]] }; // across and down there is always one
let drawing = 0;

function fillControls() {
  options($("stat"), STUDY.measures.map((m) => [m.name, m.title === m.name ? m.name : `${m.name}: ${m.title}`]), state.stat);
  for (const role of ROLES) options($(role), [...NO_AXIS[role], ...AXES.map((axis) => [axis, axis])], state[role]);
  $("held").replaceChildren(...heldAxes(state).map((axis) => {
    const label = element("label", `${axis} held at`), select = document.createElement("select");
    select.id = `held-${axis}`;
    options(select, STUDY.axes[axis].map((text, code) => [String(code), axis === "init" ? STUDY.prefix + text : text]), state.held[axis]);
    select.addEventListener("change", () => { state.held[axis] = Number(select.value); drawMap(); remember(); });
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
  remember();
}

// What the map shows, in words: on paper there are no controls to say it.
function mapName() {
  const measure = measureOf(state.stat), panels = [state.rows, state.cols].filter(Boolean);
  const held = heldAxes(state).map((axis) => `${axis} ${STUDY.axes[axis][state.held[axis]]}`);
  const what = measure.title === measure.name ? measure.name : `${measure.name}: ${measure.title}`;
  return [what, `${state.x} across, ${state.y} down`, ...(panels.length ? [`a panel for each ${panels.join(" × ")}`] : []),
    ...(held.length ? [`at ${held.join(", ")}`] : [])].join("; ");
}

async function drawMap() {
  const mine = ++drawing, points = shown(state), target = $("map");
  $("map-note").textContent = points.length ? "" : "No network at these values: hold the other axes at others.";
  $("map-name").textContent = mapName();
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

// A frame over everything else in the panel of a square: a square's own would lie half beneath its neighbours.
function frame(path, kind) {
  for (const old of $("map").querySelectorAll(`.frame.${kind}`)) old.remove();
  if (!path) return;
  const made = path.cloneNode(false);
  for (const name of ["role", "tabindex", "aria-label", "aria-pressed", "fill", "data-point"]) made.removeAttribute(name);
  made.setAttribute("class", `frame ${kind}`);
  made.setAttribute("aria-hidden", "true");
  path.closest(".role-mark").parentNode.append(made);
}

function squareOf(point) { return point === null ? null : squares().find((path) => Number(path.dataset.point) === point); }

function mark() {
  frame(squareOf(other()), "pinned");
  frame(squareOf(state.chosen), "chosen");
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

$("map").addEventListener("focusin", (event) => frame(event.target.closest(".square"), "focus"));
$("map").addEventListener("focusout", () => frame(null, "focus"));

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
    entry.append(chip, verdict.word + (ramp && verdict.told ? `: ${verdict.told}` : ""));
    legend.append(entry);
  }
  if (ramp && points.some((p) => STUDY.seeds[p] && Number.isNaN(part(measure.name, "value", p)))) legend.append(element("span", "· not defined"));
}

