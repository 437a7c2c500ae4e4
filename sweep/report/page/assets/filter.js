// The filter of the table: words and comparisons that must all hold, as in: xavier depth<20 std>=0.1 verdict=healthy
"use strict";

const COMPARISONS = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
};

// What a network's labels say in small letters: any of it can be typed as it is read.
const HAY = Array.from({ length: COUNT }, (_, p) => [...AXES.map((axis) => titled(axis, p)), word(p).word].join(" ").toLowerCase());

// Of 'normal std=0.1' the text behind 'std='.
function parameterOf(label, name) {
  const pair = label.split(" ").find((one) => one.startsWith(`${name}=`));
  return pair === undefined ? "" : pair.slice(name.length + 1);
}

// By name what a term can compare: a text, and a number where it is one.
function field(name) {
  const axis = AXES.find((one) => one.toLowerCase() === name);
  const stat = Object.keys(STUDY.stats).find((one) => one === name.replace(/^theory_/, ""));
  const group = ["init", "act"].find((one) => name.startsWith(`${one}.`));
  const texts = axis ? (p) => (axis === "init" ? titled(axis, p) : textOf(axis, p))
    : name === "verdict" ? (p) => word(p).word
    : group ? (p) => parameterOf(titled(group, p).toLowerCase(), name.slice(group.length + 1)) : null;
  if (texts) return { text: texts, value: (p) => (texts(p) === "" ? NaN : Number(texts(p))) };
  if (name === "seeds") return { text: (p) => String(STUDY.seeds[p]), value: (p) => STUDY.seeds[p] };
  if (!stat || (stat !== name && !STUDY.stats[stat].theory)) return null;
  const key = stat === name ? "value" : "theory";
  return { text: (p) => number(part(stat, key, p)), value: (p) => part(stat, key, p) };
}

// One term as a test of points; or what is wrong with it.
function term(text) {
  const [, name, sign, wanted] = /^([^<>=!]+)(<=|>=|!=|[<>=])(.+)$/.exec(text) || [];
  if (!sign) return /[<>!]|=$/.test(text) ? { complaint: `'${text}' is not finished: write it as in depth<20` } : { test: (p) => HAY[p].includes(text) };
  const of = field(name);
  const said = (p) => ` ${HAY[p]} `.includes(` ${text} `); // a part of a label, as it is read
  if (!of) {
    if (sign === "=" && Array.from({ length: COUNT }, (_, p) => p).some(said)) return { test: said };
    return { complaint: `no column '${name}': there are ${[...AXES, "verdict", "seeds", ...Object.keys(STUDY.stats)].join(", ")}` };
  }
  const like = (p) => {
    const told = of.text(p).toLowerCase();
    return told === wanted || told.startsWith(`${wanted} `) || of.value(p) === Number(wanted) || said(p);
  };
  if (sign === "=") return { test: like };
  if (sign === "!=") return { test: (p) => !like(p) };
  const limit = /^-?inf$/.test(wanted) ? Number(wanted.replace("inf", "Infinity")) : Number(wanted);
  if (Number.isNaN(limit)) return { complaint: `'${wanted}' is not a number: write it as in ${name}${sign}10` };
  return { test: (p) => COMPARISONS[sign](of.value(p), limit) };
}

// The filter as a test of points, and what is wrong with it ("" where nothing is): then it holds for none.
function filterOf(text) {
  const joined = text.toLowerCase().replace(/\s*(<=|>=|!=|[<>=])\s*/g, "$1");
  const terms = (joined.match(/(?:"[^"]*"|[^\s"])+/g) || []).map((one) => term(one.replaceAll('"', "")));
  const wrong = terms.find((one) => one.complaint);
  return { complaint: wrong ? wrong.complaint : "", test: (p) => !wrong && terms.every((one) => one.test(p)) };
}
