// Where the page begins: the first view, or that of its address; and what its controls do.
"use strict";

// The network to begin with: a healthy one, the deepest and widest of those shown.
function firstPoint() {
  const points = shown(state), rank = (p) => [word(p).word === "healthy", STUDY.codes.depth[p], STUDY.codes.width ? STUDY.codes.width[p] : 0];
  const better = (a, b) => rank(a).reduce((way, value, i) => way || value - rank(b)[i], 0) > 0;
  return points.reduce((best, p) => (better(p, best) ? p : best), points[0] ?? 0);
}

// Draw everything anew; the network is the one given, or the first one.
async function drawAll(point) {
  state.chosen = point;
  fillControls();
  fillColumnChoice();
  drawTable();
  await drawMap();
  await choose(point ?? firstPoint());
}

function print() { drawTable(MOST_PRINTED); }

options($("verdict-filter"), [["", "all"], ...STUDY.words.filter((_, code) => STUDY.verdict.includes(code)).map(({ word }) => [word, word])], "");
options($("curve"), STUDY.curves.names.map((name) => [name, name]), state.curve);
$("stat").addEventListener("change", () => { state.stat = $("stat").value; drawMap(); if (state.chosen !== null) choose(state.chosen); });
for (const role of ROLES) $(role).addEventListener("change", () => setRole(role, $(role).value));
$("curve").addEventListener("change", () => { state.curve = $("curve").value; drawCurves(); remember(); });
$("pin").addEventListener("click", pin);
$("plane").addEventListener("change", () => { PLANE.chosen = Number($("plane").value); drawPlane(); });
$("lesson").addEventListener("change", () => { LESSON.chosen = Number($("lesson").value); drawLesson(); });
for (const id of ["filter", "verdict-filter"]) $(id).addEventListener("input", () => { state.page = 0; drawTable(); });
$("previous").addEventListener("click", () => { state.page--; drawTable(); });
$("next").addEventListener("click", () => { state.page++; drawTable(); });
$("download").addEventListener("click", download);
window.addEventListener("beforeprint", print);
window.addEventListener("afterprint", () => drawTable());
let width = window.innerWidth, waiting = null;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(() => { drawMap(); drawCurves(); drawPlane(); drawLesson(); }, 150);
});

state.chosen = firstPoint();
first = new Map(viewParts());
window.addEventListener("hashchange", () => drawAll(readView()));
drawAll(readView()).then(drawPlane).then(drawLesson).then(() => { document.body.dataset.ready = "yes"; });
