// What is chosen on the page, and the few things that all its parts use.
"use strict";

const $ = (id) => document.getElementById(id);
const EMBED = { renderer: "svg", actions: false, tooltip: { disableDefaultStyle: true } };

// pinned: the network that others are compared with. columns: of the table, null for the first ones.
const state = { stat: measureOf("std") ? "std" : STUDY.measures[0].name, ...STUDY.layout, held: {}, chosen: null, pinned: null,
  curve: STUDY.curves.names.includes("std") ? "std" : STUDY.curves.names[0] || "std", sort: null, descending: false, columns: null, page: 0 };
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
