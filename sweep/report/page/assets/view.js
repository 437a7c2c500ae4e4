// The view in the page's address: what is behind its # opens the same map, network, filter and columns again.
"use strict";

const ROLE_STATE = ["stat", ...ROLES, "curve"];
let first = null; // the view of an address that says nothing
let reading = false;

function networkParts(prefix, point) {
  return point === null ? [] : AXES.filter((axis) => STUDY.axes[axis].length > 1).map((axis) => [`${prefix}.${axis}`, textOf(axis, point)]);
}

// Everything that is chosen, as [name, text]: axes by their values' texts, which a study that grows keeps.
function viewParts() {
  return [
    ...ROLE_STATE.map((name) => [name, state[name]]),
    ...heldAxes(state).map((axis) => [`held.${axis}`, STUDY.axes[axis][state.held[axis]]]),
    ...networkParts("network", state.chosen),
    ...networkParts("other", state.pinned),
    ["filter", $("filter").value], ["verdict", $("verdict-filter").value],
    ["sort", state.sort ? (state.descending ? "-" : "") + state.sort : ""],
    ["columns", state.columns ? state.columns.join(",") : ""],
    ["page", String(state.page + 1)],
  ];
}

// Put into the address what differs from the first view.
function remember() {
  if (reading || first === null) return;
  const differs = ([name, text]) => (first.get(name) ?? "") !== text, parts = viewParts();
  const moved = parts.some((one) => one[0].startsWith("network.") && differs(one)); // a network is named whole
  const changed = parts.filter((one) => (one[0].startsWith("network.") ? moved : differs(one)));
  const text = new URLSearchParams(changed).toString();
  if (text === location.hash.slice(1)) return;
  history.replaceState(null, "", text ? `#${text}` : location.pathname);
  $("link").setAttribute("href", text ? `#${text}` : "#");
}

function networkIn(parts, prefix) {
  const texts = {};
  for (const axis of AXES) if (parts.has(`${prefix}.${axis}`)) texts[axis] = parts.get(`${prefix}.${axis}`);
  return Object.keys(texts).length ? pointAt(texts) : null;
}

// Choose what the address says; where it says nothing, or names what this study does not have, the first view.
function readView() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const given = (name) => (parts.has(name) ? parts.get(name) : first.get(name) ?? "");
  reading = true;
  state.stat = measureOf(given("stat")) ? given("stat") : first.get("stat");
  state.curve = STUDY.curves.names.includes(given("curve")) ? given("curve") : first.get("curve");
  const roles = ROLES.map(given), used = roles.filter(Boolean);
  const known = used.every((axis) => AXES.includes(axis)) && new Set(used).size === used.length && roles[0] && roles[1];
  ROLES.forEach((role, i) => { state[role] = known ? roles[i] : first.get(role); });
  state.held = firstHeld();
  for (const axis of AXES) {
    const code = STUDY.axes[axis].indexOf(given(`held.${axis}`));
    if (code >= 0) state.held[axis] = code;
  }
  state.pinned = networkIn(parts, "other");
  $("filter").value = given("filter");
  $("verdict-filter").value = given("verdict");
  const sort = given("sort").replace(/^-/, "");
  state.sort = COLUMNS.some((column) => column.name === sort) ? sort : null;
  state.descending = state.sort !== null && given("sort").startsWith("-");
  const columns = given("columns").split(",").filter((name) => COLUMNS.some((column) => column.name === name));
  state.columns = columns.length ? columns : null;
  state.page = Math.max(0, (Number.parseInt(given("page"), 10) || 1) - 1);
  $("curve").value = state.curve;
  reading = false;
  return networkIn(parts, "network");
}
