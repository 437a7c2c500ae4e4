// One network beside the map: its numbers and its curves, alone or compared with another.
"use strict";

async function choose(point) {
  state.chosen = point;
  mark();
  drawWords();
  remember();
  await drawCurves();
}

// The network that the chosen one is compared with; null where there is none, or it is the chosen one itself.
function other() { return state.pinned === state.chosen ? null : state.pinned; }

function verdictText(point) {
  const since = part("verdict_layer", "value", point);
  const alone = word(point).word === "healthy" && !STUDY.measured[point] ? " (the signal alone)" : "";
  return word(point).word + alone + (Number.isFinite(since) ? ` from layer ${plain(measureOf("verdict_layer"), point)}` : "");
}

function drawWords() {
  const point = state.chosen, measure = measureOf(state.stat);
  $("detail-title").textContent = networkName(point);
  const lines = [`${measure.name} ${valueText(measure, point)}`];
  if (measure.scale !== "word") lines.push(`theory ${theoryText(measure.name, point)}`);
  lines.push(`verdict ${verdictText(point)}`, `seeds ${seedsText(point)}`);
  $("detail-text").textContent = lines.join(" · ");
  $("pin").textContent = state.pinned === null ? "Compare with another network" : "Stop comparing";
  $("pin").setAttribute("aria-pressed", String(state.pinned !== null));
  $("compare-hint").textContent = state.pinned !== null && other() === null ? "Now choose the other network, in the map or in the table." : "";
  drawComparison();
}

// A row for each statistic that either network has, a column for each network.
function drawComparison() {
  const pair = [state.chosen, other()];
  $("comparison").hidden = other() === null;
  if (other() === null) return;
  const rows = [["verdict", ...pair.map(verdictText)], ["seeds", ...pair.map(seedsText)]];
  for (const measure of STUDY.measures) {
    if (measure.scale === "word" || measure.name === "verdict_layer") continue;
    if (pair.every((p) => Number.isNaN(part(measure.name, "value", p)))) continue;
    rows.push([measure.name, ...pair.map((p) => valueText(measure, p))]);
  }
  const head = element("tr", "");
  head.append(element("th", "", { scope: "col" }), ...pair.map((p) => element("th", networkName(p), { scope: "col" })));
  $("comparison").tHead.replaceChildren(head);
  $("comparison").tBodies[0].replaceChildren(...rows.map(([name, ...texts]) => {
    const row = element("tr", "");
    row.append(element("th", name, { scope: "row" }), ...texts.map((text) => element("td", text)));
    return row;
  }));
}

function pin() {
  state.pinned = state.pinned === null ? state.chosen : null;
  choose(state.chosen);
}

async function drawLines(id, spec, label) {
  if (!spec) {
    $(id).replaceChildren(element("p", "Not defined, or zero, at every layer.", { class: "faint" }));
    return;
  }
  await vegaEmbed($(id), spec, EMBED);
  for (const svg of $(id).querySelectorAll("svg")) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  }
}

function curveNote() {
  const colours = other() === null ? "" : `Blue: ${networkName(state.chosen)}; orange, and below the lighter lines: ${networkName(other())}. `;
  const backward = GRADIENTS ? " Forward: rms of h; backward, dashed: rms of dL/dh." : " Forward: rms of h; gradients were not measured.";
  return `${colours}Band: all seeds. Grey: theory.${backward}${STUDY.curves.thinned ? " Some layers are left out; the Parquet files have them all." : ""}`;
}

async function drawCurves() {
  const point = state.chosen, width = Math.max(220, $("curve-chart").clientWidth - 4);
  if (point === null) return;
  const has = STUDY.curves.layers[point] && STUDY.curves.layers[point].length;
  $("curve-note").textContent = has ? curveNote() : "No layers are stored for this network.";
  if (!has) { $("curve-chart").replaceChildren(); $("flow-chart").replaceChildren(); return; }
  const measure = measureOf(state.curve) || { name: state.curve, scale: "signed" };
  const name = [point, other()].filter((p) => p !== null).map(networkName).join(" and of ");
  const both = (names) => names.flatMap(([stat, series]) => [
    ...curveRows(point, stat, series), ...(other() === null ? [] : curveRows(other(), stat, `${series}, other`))]);
  const own = `${state.curve} by layer of ${name}`, flow = `forward and backward rms by layer of ${name}`;
  await drawLines("curve-chart", curveSpec(both([[state.curve, "measured"]]), geometric(measure), state.curve, width, own), own);
  await drawLines("flow-chart", curveSpec(both([["rms", "forward"], ["delta_rms", "backward"]]), true, "rms", width, flow), flow);
  Object.assign($("detail").dataset, { point, curve: state.curve, pinned: other() ?? "" });
}
