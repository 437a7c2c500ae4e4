// What is chosen on the page, and the few things that all its parts use.
"use strict";

const $ = (id) => document.getElementById(id);
const EMBED = { renderer: "svg", actions: false, tooltip: { disableDefaultStyle: true } };

// The values at which axes are held that the map does not show: a size at its greatest.
function firstHeld() {
  return Object.fromEntries(AXES.map((axis) => [axis, axis === "init" || axis === "act" ? 0 : STUDY.axes[axis].length - 1]));
}

// pinned: the network that others are compared with. columns: of the table, null for the first ones.
const state = { stat: measureOf("std") ? "std" : STUDY.measures[0].name, ...STUDY.layout, held: firstHeld(), chosen: null, pinned: null,
  curve: STUDY.curves.names.includes("std") ? "std" : STUDY.curves.names[0] || "std", sort: null, descending: false, columns: null, page: 0 };

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
