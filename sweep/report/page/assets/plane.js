// Order and chaos: how alike inputs end up over sigma_w × sigma_b, and for how many layers a difference is felt.
"use strict";

const PLANE = { chosen: 0 };
const MOST_LINES = 4; // of the depths, one for each of so many sigma_b

// The colour of a cosine: ink where all inputs look alike, ochre where they lose touch.
function cosineFill(cosine) {
  const ramp = STUDY.ramps.diverging;
  if (Number.isNaN(cosine)) return STUDY.empty;
  return ramp[Math.round((1 - Math.max(0, Math.min(1, cosine))) * (ramp.length - 1))];
}

// Where each value's square begins and ends: half-way to its neighbours.
function edges(values) {
  const middle = values.slice(1).map((value, i) => (value + values[i]) / 2);
  const ends = [2 * values[0] - middle[0], ...middle, 2 * values.at(-1) - middle.at(-1)];
  return new Map(values.map((value, i) => [value, [ends[i], ends[i + 1]]]));
}

function distinct(points, name) { return [...new Set(points.map((point) => point[name]))].sort((a, b) => a - b); }

function reached(plane, layers) {
  if (Number.isNaN(layers)) return "too close to the fixed point to tell";
  return Number.isFinite(layers) ? String(layers) : `more than ${plane.depth}`;
}

function planeSpec(plane, width) {
  const across = edges(distinct(plane.points, "sigma_w")), down = edges(distinct(plane.points, "sigma_b"));
  const ends = (sides) => { const all = [...sides.values()].flat(); return [Math.min(...all), Math.max(...all)]; };
  const values = plane.points.map((point) => {
    const [[x, x2], [y, y2]] = [across.get(point.sigma_w), down.get(point.sigma_b)];
    const cosine = Number.isNaN(point.cosine) ? "undefined: the signal vanishes" : number(point.cosine);
    return { x, x2, y, y2, fill: cosineFill(point.cosine), sigma_w: number(point.sigma_w), sigma_b: String(point.sigma_b), cosine,
      chi1: number(point.chi1), phase: point.chi1 > 1 ? "chaos" : "order", layers: reached(plane, point.layers), theory: number(point.theory), seeds: point.seeds };
  });
  const scale = (sides) => ({ domain: ends(sides), nice: false, zero: false });
  const [x, y] = [["x", "sigma_w", across], ["y", "sigma_b (bias_std)", down]]
    .map(([name, title, sides]) => ({ field: name, type: "quantitative", title, scale: scale(sides), axis: { grid: false } }));
  const tooltip = [["sigma_w", "sigma_w"], ["sigma_b", "sigma_b"], ["cosine", "sample_cosine"], ["chi1", "chi1"], ["phase", "phase"],
    ["layers", "layers until it settles"], ["theory", "predicted"], ["seeds", "seeds"]].map(([field, title]) => ({ field, title, type: "nominal" }));
  return {
    $schema: SCHEMA, width, height: 230, autosize: { type: "fit-x", contains: "padding" },
    layer: [
      { data: { values }, mark: { type: "rect", stroke: "white", strokeWidth: 0.5, aria: false },
        encoding: { x, y, x2: { field: "x2" }, y2: { field: "y2" }, color: { field: "fill", type: "nominal", scale: null }, tooltip } },
      ...[["#ffffff", 5], ["#14202b", 2.5]].map(([color, strokeWidth]) => ({ data: { values: plane.line.map(([w, b]) => ({ x: w, y: b })) },
        mark: { type: "line", color, strokeWidth, clip: true, aria: false, style: "critical" }, encoding: { x, y, order: { field: "y" } } })),
    ],
    config: LOOK,
  };
}

function depthSpec(plane, width) {
  const all = distinct(plane.points, "sigma_b"), every = Math.max(1, Math.ceil(all.length / MOST_LINES));
  const shown = all.filter((_, i) => (all.length - 1 - i) % every === 0);
  const top = 2 * plane.depth, inside = (value) => Math.max(0.8, Math.min(value, top));
  const values = plane.points.filter((point) => shown.includes(point.sigma_b)).map((point) => ({ ...point, series: String(point.sigma_b),
    predicted: inside(point.theory), measured: inside(point.layers), told: reached(plane, point.layers), arrived: Number.isFinite(point.layers) }));
  const x = { field: "sigma_w", type: "quantitative", scale: { zero: false } };
  const y = (field) => ({ field, type: "quantitative", title: "layers until it settles", scale: { type: "log", domain: [0.8, top], nice: false },
    axis: { values: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].filter((tick) => tick <= top) } });
  const color = { field: "series", type: "nominal", title: "sigma_b", sort: shown.map(String),
    scale: { range: ["#1f83b4", "#d1495b", "#5b8c5a", "#e08a1e"] }, legend: { orient: "top" } };
  return {
    $schema: SCHEMA, width, height: 200, autosize: { type: "fit-x", contains: "padding" },
    layer: [
      { data: { values: values.filter((v) => !Number.isNaN(v.predicted)) }, mark: { type: "line", strokeWidth: 1, strokeDash: [5, 4], aria: false }, encoding: { x, y: y("predicted"), color } },
      { data: { values: values.filter((v) => !Number.isNaN(v.measured)) }, mark: { type: "point", filled: true, size: 45, aria: false },
        encoding: { x, y: y("measured"), color, shape: { field: "arrived", type: "nominal", legend: null, scale: { domain: [true, false], range: ["circle", "triangle-up"] } },
          tooltip: [["sigma_w", "sigma_w"], ["series", "sigma_b"], ["told", "measured"], ["theory", "predicted"]].map(([field, title]) => ({ field, title, type: "nominal" })) } },
    ],
    config: { ...LOOK, axis: { gridOpacity: 0.35, titleFontWeight: 500 } },
  };
}

async function drawPlane() {
  if (!STUDY.planes.length) return;
  $("plane-section").hidden = false;
  const plane = STUDY.planes[PLANE.chosen], width = Math.max(240, $("plane-chart").clientWidth - 4);
  $("plane-choice").hidden = STUDY.planes.length < 2;
  options($("plane"), STUDY.planes.map(({ name }, i) => [String(i), name]), PLANE.chosen);
  $("plane-name").textContent = `${plane.name}: ${plane.sizes}`;
  await drawLines("plane-chart", planeSpec(plane, width), `sample_cosine of the last layer over sigma_w and sigma_b, with the critical line, of ${plane.name}`);
  await drawLines("depth-chart", depthSpec(plane, width), `layers until the cosine settles over sigma_w, measured and predicted, of ${plane.name}`);
  const bar = $("plane-bar");
  bar.style.background = `linear-gradient(to right, ${STUDY.ramps.diverging.join(", ")})`;
  $("plane-silent").hidden = !plane.points.some((point) => Number.isNaN(point.cosine));
  $("plane-silent").firstElementChild.style.background = STUDY.empty;
  $("plane-section").dataset.drawn = PLANE.chosen;
}
