// From the study's data to Vega-Lite specifications: what is shown, in which colour, as which text.
"use strict";

const AXES = Object.keys(STUDY.axes);
const COUNT = STUDY.verdict.length;
const ROLES = ["x", "y", "rows", "cols"];

function measureOf(name) { return STUDY.measures.find((measure) => measure.name === name); }
function geometric(measure) { return measure.scale === "ratio" || measure.scale === "size"; }

// A statistic in few characters, as the program's own tables show it.
function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "·";
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e4) return value.toFixed(Math.max(0, digits - 1 - Math.floor(Math.log10(size))));
  return value.toExponential(Math.min(digits, 2) - 1);
}

function word(point) { return STUDY.words[STUDY.verdict[point]]; }

function part(name, key, point) {
  const column = STUDY.stats[name] && STUDY.stats[name][key];
  return column ? column[point] : NaN;
}

function spreadText(measure, point) {
  const factor = part(measure.name, "factor", point);
  if (STUDY.seeds[point] < 2 || !Number.isFinite(factor)) return "";
  if (!geometric(measure)) return ` ± ${number(factor, 2)}`;
  if (factor >= 2) return ` ×/÷ ${number(factor, 2)}`;
  return ` ± ${(100 * (factor - 1)).toFixed(factor < 1.1 ? 1 : 0)} %`;
}

function plain(measure, point) {
  const value = part(measure.name, "value", point);
  if (measure.scale === "count" && Number.isFinite(value)) return String(Math.round(value * 10) / 10);
  return number(value, measure.scale === "share" ? 2 : 3);
}

function valueText(measure, point) {
  if (measure.scale !== "word") return plain(measure, point) + spreadText(measure, point);
  const agree = STUDY.agree[point];
  return word(point).word + (agree < 1 ? ` (${Math.round(agree * STUDY.seeds[point])} of ${STUDY.seeds[point]} seeds)` : "");
}

function theoryText(name, point) {
  const theory = part(name, "theory", point);
  return Number.isNaN(theory) ? "no prediction" : number(theory);
}

function seedsText(point) {
  const failed = STUDY.failed[point];
  return `${STUDY.seeds[point]}${failed ? `, ${failed} failed` : ""}`;
}

function textOf(axis, point) { return STUDY.axes[axis][STUDY.codes[axis][point]]; }

function titled(axis, point) {
  const text = textOf(axis, point);
  return axis === "init" ? STUDY.prefix + text : axis === "act" ? text : `${axis} ${text}`;
}

function networkName(point) {
  return AXES.filter((axis) => STUDY.axes[axis].length > 1 || axis === "init" || axis === "act")
    .map((axis) => titled(axis, point)).join(", ").replace(", ", " × ");
}

function fillOf(measure, point) {
  if (measure.scale === "word") return word(point).colour;
  const value = part(measure.name, "value", point), ramp = STUDY.ramps[measure.ramp];
  if (Number.isNaN(value)) return STUDY.empty;
  const share = ((measure.logarithmic ? Math.log10(value) : value) - measure.low) / (measure.high - measure.low);
  return ramp[Math.max(0, Math.min(ramp.length - 1, Math.floor(share * ramp.length) || 0))];
}

// The axes across, down, and of the panels; "" where there is none.
function usedAxes(state) { return ROLES.map((role) => state[role]); }

function heldAxes(state) {
  return AXES.filter((axis) => !usedAxes(state).includes(axis) && STUDY.axes[axis].length > 1);
}

// The points that are shown: those at the values that the other axes are held at.
function shown(state) {
  const held = heldAxes(state), points = [];
  for (let p = 0; p < COUNT; p++) {
    if (held.every((axis) => STUDY.codes[axis][p] === state.held[axis])) points.push(p);
  }
  return points;
}

function mapSpec(state, points, available) {
  const measure = measureOf(state.stat);
  const values = (axis) => STUDY.axes[axis].filter((_, code) => points.some((p) => STUDY.codes[axis][p] === code));
  const across = values(state.x), down = values(state.y);
  const panelAxes = [state.rows, state.cols].filter(Boolean);
  const code = (p) => panelAxes.reduce((sum, axis) => sum * STUDY.axes[axis].length + STUDY.codes[axis][p], 0);
  const labels = Math.min(190, 14 + 6.4 * Math.max(...down.map((text) => Math.min(26, text.length)))) + 18;
  let columns = state.cols ? values(state.cols).length : 1;
  const room = () => Math.floor((available - columns * (labels + 14)) / (columns * across.length));
  while (columns > 1 && room() < 34) columns = Math.floor((columns + 1) / 2);
  const step = Math.max(across.length > 24 ? 12 : 26, Math.min(84, room()));
  const font = step >= 46 ? 11 : step >= 34 ? 9.5 : 0;
  const height = font ? 36 : Math.max(14, Math.min(26, step));
  const data = points.map((p) => {
    const fill = fillOf(measure, p);
    const seeds = STUDY.seeds[p];
    const text = measure.scale === "word" ? word(p).letter : seeds ? plain(measure, p) : "×";
    return {
      point: p, code: code(p), panel: panelAxes.map((axis) => titled(axis, p)).join(" × ") || " ",
      across: textOf(state.x, p), down: textOf(state.y, p),
      fill, ink: STUDY.inks[fill], text: measure.scale !== "word" && seeds && word(p).mark ? [text, word(p).mark] : [text],
      network: networkName(p), value: valueText(measure, p), theory: theoryText(measure.name, p), verdict: word(p).word,
      seeds: seedsText(p), label: `${networkName(p)}: ${measure.name} ${valueText(measure, p)}, verdict ${word(p).word}`,
    };
  });
  const order = [...new Map(data.map((d) => [d.code, d.panel])).entries()].sort((a, b) => a[0] - b[0]).map((e) => e[1]);
  const axis = (name, values, limit, extra) => ({
    field: name, type: "ordinal", sort: values,
    axis: { title: null, domain: false, ticks: false, labelLimit: limit, labelPadding: 4, ...extra },
  });
  const tooltip = [["network", "network"], ["value", measure.name], ["theory", "theory"], ["verdict", "verdict"], ["seeds", "seeds"]]
    .filter(([field]) => !(measure.scale === "word" && (field === "verdict" || field === "theory")))
    .map(([field, title]) => ({ field, title, type: "nominal" }));
  const long = Math.max(...across.map((text) => text.length)) * 6.4 > step;
  const encoding = {
    x: axis("across", across, 120, { orient: "bottom", labelAngle: long ? -40 : 0, labelOverlap: across.length > 24 ? "parity" : false }),
    y: axis("down", down, 185, { labelOverlap: down.length > 40 ? "parity" : false }),
  };
  return {
    spec: {
      $schema: "https://vega.github.io/schema/vega-lite/v6.json",
      description: `${measure.title}: ${state.x} across, ${state.y} down; ${points.length} networks`,
      data: { values: data }, columns,
      facet: { field: "panel", type: "nominal", sort: order,
        header: { title: null, labelFontSize: 12.5, labelFontWeight: 600, labelAnchor: "start", labelLimit: Math.max(120, step * across.length), labelPadding: 5 } },
      spacing: 14, resolve: { axis: { x: "independent", y: "independent" }, scale: { y: "shared", x: "shared" } },
      spec: {
        width: { step }, height: { step: height },
        layer: [
          { mark: { type: "rect", stroke: "white", strokeWidth: 1, style: "square" },
            encoding: { ...encoding, color: { field: "fill", type: "nominal", scale: null }, tooltip,
              description: { field: "label", type: "nominal" } } },
          ...(font ? [{ mark: { type: "text", fontSize: font, lineHeight: font + 2, baseline: "middle", dy: { expr: "length(datum.text) > 1 ? -6 : 0" }, style: "written", aria: false },
            encoding: { ...encoding, text: { field: "text" }, color: { field: "ink", type: "nominal", scale: null }, tooltip } }] : []),
        ],
      },
      config: { view: { stroke: null }, font: "system-ui, DejaVu Sans, sans-serif", background: "transparent" },
    },
    measure,
  };
}

const LINE = { measured: "#1f83b4", forward: "#1f83b4", backward: "#d1495b" };

function curveRows(point, name, series) {
  const curves = STUDY.curves[name], layers = STUDY.curves.layers[point] || [];
  if (!curves) return [];
  return layers.map((layer, i) => {
    const at = (key) => (curves[key] ? curves[key][point][i] : NaN);
    return { layer, series, value: at("value"), low: at("low"), high: at("high"), theory: at("theory") };
  });
}

// Ticks of a logarithmic axis: at most six decades, and 2 and 5 between them where there are few.
function decades(rows, band) {
  const values = [...rows.flatMap((r) => [r.value, r.theory]), ...band.flatMap((r) => [r.low, r.high])]
    .filter((v) => Number.isFinite(v) && v > 0).map(Math.log10);
  const low = Math.floor(Math.min(...values)), high = Math.ceil(Math.max(...values));
  const steps = high - low <= 2 ? [1, 2, 5] : [1], every = Math.max(1, Math.ceil((high - low) / 6));
  const ticks = [];
  for (let k = low; k <= high; k += every) ticks.push(...steps.map((s) => Number(`${s}e${k}`)));
  return ticks;
}

function curveSpec(rows, log, title, width, description) {
  const good = (v) => Number.isFinite(v) && (!log || v > 0) && Math.abs(v) < 1e300;
  const line = rows.filter((r) => good(r.value));
  const band = rows.filter((r) => good(r.low) && good(r.high));
  const theory = rows.filter((r) => good(r.theory));
  if (!line.length) return null; // nothing that such an axis could show
  const y = (field) => ({ field, type: "quantitative", title,
    scale: log ? { type: "log" } : { zero: false, nice: true },
    axis: log ? { values: decades([...line, ...theory], band), labelExpr: "datum.value >= 0.01 && datum.value <= 100 ? format(datum.value, '~g') : format(datum.value, '.0e')" } : { tickCount: 5 } });
  const x = { field: "layer", type: "quantitative", title: "layer", axis: { tickMinStep: 1, tickCount: 6, format: "d" } };
  const colour = { field: "series", type: "nominal", legend: null,
    scale: { domain: Object.keys(LINE), range: Object.values(LINE) } };
  const dash = { field: "series", type: "nominal", legend: null, scale: { domain: Object.keys(LINE), range: [[1, 0], [1, 0], [6, 4]] } };
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json", description, width, height: 150,
    autosize: { type: "fit-x", contains: "padding" },
    layer: [
      ...(!band.length ? [] : [{ data: { values: band }, mark: { type: "area", opacity: 0.22, aria: false }, encoding: { x, y: y("low"), y2: { field: "high" }, color: colour } }]),
      ...(!theory.length ? [] : [{ data: { values: theory }, mark: { type: "line", strokeWidth: 1, style: "theory", color: "#808890", aria: false }, encoding: { x, y: y("theory"), detail: { field: "series" } } }]),
      { data: { values: line }, mark: { type: "line", strokeWidth: 2, point: line.length < 14, aria: false },
        encoding: { x, y: y("value"), color: colour, strokeDash: dash,
          tooltip: ["series", "layer", "value", "theory"].map((field) => ({ field, type: field === "series" ? "nominal" : "quantitative" })) } },
    ],
    config: { view: { stroke: null }, font: "system-ui, DejaVu Sans, sans-serif", background: "transparent", axis: { gridOpacity: 0.35, titleFontWeight: 500 } },
  };
}
