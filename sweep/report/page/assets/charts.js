// From points to Vega-Lite specifications: the map, and the curves of a network.
"use strict";

const LOOK = { view: { stroke: null }, font: "system-ui, DejaVu Sans, sans-serif", background: "transparent" };
const SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json";
const LETTER = 6.8; // px of a character beside the map

// What a square says: a statistic and the mark of what is wrong; where that finds no room, the mark alone.
function written(measure, point, roomy) {
  const mark = word(point).mark;
  if (measure.scale === "word") return [word(point).letter];
  if (!roomy) return mark ? [mark] : [];
  const text = STUDY.seeds[point] ? plain(measure, point) : "×";
  return STUDY.seeds[point] && mark ? [text, mark] : [text];
}

// The sizes of squares that fit: so many across, so many panels beside each other. available: px.
function fitting(across, down, panels, available) {
  const labels = 32 + LETTER * Math.max(...down.map((text) => text.length));
  const name = 10 + 1.1 * LETTER * Math.max(...panels.map((text) => text.length)); // of a panel, which is never cut
  const step = (columns) => Math.floor((available - columns * (labels + 14)) / (columns * across.length));
  let columns = panels.columns;
  while (columns > 1 && (step(columns) < 34 || columns * Math.max(name, labels + across.length * 26) > available)) {
    columns = Math.floor((columns + 1) / 2);
  }
  const width = Math.max(across.length > 24 ? 12 : 26, Math.min(84, step(columns)));
  const font = width >= 50 ? 11 : width >= 40 ? 9 : 0; // of a square that has room for its value
  return { columns, width, font, height: font ? 36 : Math.max(14, Math.min(26, width)) };
}

function mapSpec(state, points, available) {
  const measure = measureOf(state.stat);
  const values = (axis) => STUDY.short[axis].filter((_, code) => points.some((p) => STUDY.codes[axis][p] === code));
  const across = values(state.x), down = values(state.y);
  const panelAxes = [state.rows, state.cols].filter(Boolean);
  const code = (p) => panelAxes.reduce((sum, axis) => sum * STUDY.axes[axis].length + STUDY.codes[axis][p], 0);
  const panel = (p) => panelAxes.map((axis) => labelled(axis, p)).join(" × ") || " ";
  const panels = Object.assign([...new Set(points.map(panel))], { columns: state.cols ? values(state.cols).length : 1 });
  const { columns, width, font, height } = fitting(across, down, panels, available);
  const small = Math.max(7, Math.min(11, width - 4, height - 4));
  const data = points.map((p) => {
    const fill = fillOf(measure, p);
    return {
      point: p, code: code(p), panel: panel(p), across: STUDY.short[state.x][STUDY.codes[state.x][p]],
      down: STUDY.short[state.y][STUDY.codes[state.y][p]], fill, ink: STUDY.inks[fill], text: written(measure, p, font > 0),
      network: networkName(p), value: valueText(measure, p), theory: theoryText(measure.name, p), verdict: word(p).word,
      seeds: seedsText(p), label: `${networkName(p)}: ${measure.name} ${valueText(measure, p)}, verdict ${word(p).word}`,
    };
  });
  const order = [...new Map(data.map((d) => [d.code, d.panel])).entries()].sort((a, b) => a[0] - b[0]).map((e) => e[1]);
  const axis = (name, values, extra) => ({
    field: name, type: "ordinal", sort: values,
    axis: { title: null, domain: false, ticks: false, labelLimit: 0, labelPadding: 4, ...extra },
  });
  const tooltip = [["network", "network"], ["value", measure.name], ["theory", "theory"], ["verdict", "verdict"], ["seeds", "seeds"]]
    .filter(([field]) => !(measure.scale === "word" && (field === "verdict" || field === "theory")))
    .map(([field, title]) => ({ field, title, type: "nominal" }));
  const long = Math.max(...across.map((text) => text.length)) * LETTER > width;
  const encoding = {
    x: axis("across", across, { orient: "bottom", labelAngle: long ? -40 : 0, labelOverlap: across.length > 24 ? "parity" : false }),
    y: axis("down", down, { labelOverlap: down.length > 40 ? "parity" : false }),
  };
  return {
    spec: {
      $schema: SCHEMA,
      description: `${measure.title}: ${state.x} across, ${state.y} down; ${points.length} networks`,
      data: { values: data }, columns,
      facet: { field: "panel", type: "nominal", sort: order,
        header: { title: null, labelFontSize: 12.5, labelFontWeight: 600, labelAnchor: "start", labelLimit: 0, labelPadding: 5 } },
      spacing: 14, resolve: { axis: { x: "independent", y: "independent" }, scale: { y: "shared", x: "shared" } },
      spec: {
        width: { step: width }, height: { step: height },
        layer: [
          { mark: { type: "rect", stroke: "white", strokeWidth: 1, style: "square" },
            encoding: { ...encoding, color: { field: "fill", type: "nominal", scale: null }, tooltip,
              description: { field: "label", type: "nominal" } } },
          { mark: { type: "text", fontSize: font || small, lineHeight: font + 2, baseline: "middle", dy: { expr: "length(datum.text) > 1 ? -6 : 0" }, style: "written", aria: false },
            transform: [{ filter: "length(datum.text) > 0" }],
            encoding: { ...encoding, text: { field: "text" }, color: { field: "ink", type: "nominal", scale: null }, tooltip } },
        ],
      },
      config: LOOK,
    },
    measure,
  };
}

// ---- the curves of a network: its own, and those of the network that it is compared with

const LINE = { measured: "#1f83b4", forward: "#1f83b4", backward: "#d1495b", "measured, other": "#e08a1e", "forward, other": "#7db4d6", "backward, other": "#e79aa4" };
const DASH = Object.keys(LINE).map((series) => (series.startsWith("backward") ? [6, 4] : [1, 0]));

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
  const of = (range) => ({ field: "series", type: "nominal", legend: null, scale: { domain: Object.keys(LINE), range } });
  const colour = of(Object.values(LINE));
  return {
    $schema: SCHEMA, description, width, height: 150,
    autosize: { type: "fit-x", contains: "padding" },
    layer: [
      ...(!band.length ? [] : [{ data: { values: band }, mark: { type: "area", opacity: 0.22, aria: false }, encoding: { x, y: y("low"), y2: { field: "high" }, color: colour } }]),
      ...(!theory.length ? [] : [{ data: { values: theory }, mark: { type: "line", strokeWidth: 1, style: "theory", color: "#808890", aria: false }, encoding: { x, y: y("theory"), detail: { field: "series" } } }]),
      { data: { values: line }, mark: { type: "line", strokeWidth: 2, point: line.length < 28, aria: false },
        encoding: { x, y: y("value"), color: colour, strokeDash: of(DASH),
          tooltip: ["series", "layer", "value", "theory"].map((field) => ({ field, type: field === "series" ? "nominal" : "quantitative" })) } },
    ],
    config: { ...LOOK, axis: { gridOpacity: 0.35, titleFontWeight: 500 } },
  };
}
