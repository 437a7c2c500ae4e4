// The study's networks, each a number (a point): what is known of one, in which colour and as which text.
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

// The same in few characters, which beside the map still tell it from the others.
function labelled(axis, point) {
  const text = STUDY.short[axis][STUDY.codes[axis][point]];
  return axis === "init" ? STUDY.prefix + text : axis === "act" ? text : `${axis} ${text}`;
}

// Whether any gradient was measured.
const GRADIENTS = STUDY.measured.some(Boolean);

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

// A network by the texts of its axes; null where there is none.
function pointAt(texts) {
  for (let p = 0; p < COUNT; p++) {
    if (AXES.every((axis) => !(axis in texts) || textOf(axis, p) === texts[axis])) return p;
  }
  return null;
}

// The axes in which networks differ, or that everyone expects to read.
const NAMING_AXES = AXES.filter((axis) => STUDY.axes[axis].length > 1 || ["init", "act", "depth", "width"].includes(axis));
