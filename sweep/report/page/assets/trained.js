// Does it learn? What trained networks get right over sigma_w² × depth, and how deep theory says that one can.
"use strict";

const LESSON = { chosen: 0 };
const TRAINED_RAMP = ["#2b2f45", "#4d5f8f", "#7fa8c9", "#cfdfd2", "#f3e3a2", "#f0c987"]; // as in the figure

function accuracyFill(share) {
  if (Number.isNaN(share)) return STUDY.empty;
  const place = Math.max(0, Math.min(1, share)) * (TRAINED_RAMP.length - 1), below = Math.min(Math.floor(place), TRAINED_RAMP.length - 2);
  const part = (colour, i) => parseInt(colour.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mixed = [0, 1, 2].map((i) => Math.round(part(TRAINED_RAMP[below], i) + (place - below) * (part(TRAINED_RAMP[below + 1], i) - part(TRAINED_RAMP[below], i))));
  return `rgb(${mixed.join(",")})`;
}

function lessonSpec(lesson, width) {
  const values = lesson.points.map((point) => ({
    x: point.across[0], x2: point.across[1], y: point.down[0], y2: point.down[1], fill: accuracyFill(point.test_accuracy),
    sigma_w2: String(point.sigma_w2), depth: point.depth, held_out: number(point.test_accuracy), training: number(point.train_accuracy),
    readout: number(point.readout_accuracy), seeds: point.seeds,
  }));
  const ends = (low, high) => [Math.min(...values.map((v) => v[low])), Math.max(...values.map((v) => v[high]))];
  const [across, down] = [ends("x", "x2"), ends("y", "y2")];
  const scale = (domain) => ({ domain, nice: false, zero: false });
  const x = { field: "x", type: "quantitative", title: "sigma_w²", scale: scale(across), axis: { grid: false } };
  const y = { field: "y", type: "quantitative", title: "depth", scale: scale(down), axis: { grid: false } };
  const tooltip = [["sigma_w2", "sigma_w²"], ["depth", "depth"], ["held_out", "held-out inputs right"], ["training", "training inputs right"],
    ["readout", "readout alone"], ["seeds", "seeds"]].map(([field, title]) => ({ field, title, type: "nominal" }));
  const lines = (name) => lesson.halves[name].flatMap((line, i) => line.map(([px, py], order) => ({ x: px, y: py, line: `${name} ${i}`, order })));
  const stroke = (data, color, strokeWidth, dash) => ({ data: { values: data },
    mark: { type: "line", color, strokeWidth, strokeDash: dash, clip: true, aria: false },
    encoding: { x, y, detail: { field: "line", type: "nominal" }, order: { field: "order" } } });
  const curve = lesson.curve.map(([px, py], order) => ({ x: px, y: py, line: "xi", order }));
  const critical = Number.isNaN(lesson.critical) ? [] : down.map((py, order) => ({ x: lesson.critical, y: py, line: "critical", order }));
  return {
    $schema: SCHEMA, width, height: 320, autosize: { type: "fit-x", contains: "padding" },
    layer: [
      { data: { values }, mark: { type: "rect", strokeWidth: 0, aria: false },
        encoding: { x, y, x2: { field: "x2" }, y2: { field: "y2" }, color: { field: "fill", type: "nominal", scale: null }, tooltip } },
      stroke(lines("train_accuracy"), "#000000", 1.5, [5, 4]), stroke(lines("test_accuracy"), "#000000", 1.5, [1, 0]),
      stroke(curve, "#ffffff", 4, [1, 0]), stroke(curve, "#d1495b", 2, [1, 0]), stroke(critical, "#000000", 1, [2, 3]),
    ],
    config: LOOK,
  };
}

async function drawLesson() {
  if (!STUDY.lessons.length) return;
  $("lesson-section").hidden = false;
  const lesson = STUDY.lessons[LESSON.chosen], width = Math.max(240, $("lesson-chart").clientWidth - 4);
  $("lesson-choice").hidden = STUDY.lessons.length < 2;
  options($("lesson"), STUDY.lessons.map(({ name }, i) => [String(i), name]), LESSON.chosen);
  $("lesson-name").textContent = `${lesson.name}; ${lesson.rule}`;
  await drawLines("lesson-chart", lessonSpec(lesson, width), `accuracy on held-out inputs over sigma_w squared and depth, of ${lesson.name}`);
  $("lesson-bar").style.background = `linear-gradient(to right, ${TRAINED_RAMP.join(", ")})`;
  const [middle, least, most] = lesson.factor;
  $("lesson-curve").hidden = !lesson.factor.length;
  $("lesson-factor").textContent = lesson.factor.length ? `${number(middle)} ξ_c, the factor measured on this map (${number(least)} to ${number(most)})` : "";
  $("lesson-critical").hidden = Number.isNaN(lesson.critical);
  $("lesson-section").dataset.drawn = LESSON.chosen;
}
