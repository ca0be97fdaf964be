// What the strategy did, as a picture: a column for each candidate in the first stage's order, a row for each prompt.
import { element, svg } from "./dom.js";
import { logits } from "./logits.js";
import { count } from "./words.js";

const MOST_ROWS = 60; // with more prompts than that, or one for each passage, those of a round share a row
const STEP_MS = 450;
const HEIGHT = { least: 3, most: 20, all: 260 };

/** For each window, which of its passages were seen again later, or are in the answer. */
function withFates(windows, results) {
  const last = new Map();
  for (const { round, ids } of windows) for (const id of ids) last.set(id, round);
  const kept = new Set(results.map((result) => result.id));
  return windows.map((window) => ({
    ...window,
    advanced: window.ids.map((id) => last.get(id) > window.round || kept.has(id)),
  }));
}

function rowsOf(windows) {
  const alone = windows.every((window) => window.ids.length === 1);
  if (windows.length <= MOST_ROWS && !alone) return windows.map((window) => [window]);
  return [...Map.groupBy(windows, (window) => window.round).values()];
}

function cells(row, y, places) {
  return row.flatMap(({ ids, advanced }) => ids.map((id, shown) => svg("rect", {
    x: places.get(id) + 0.06, y: y + 0.1, width: 0.88, height: 0.8, class: advanced[shown] ? "advanced" : "left",
  })));
}

function picture(rows, places) {
  const drawn = rows.map((row, y) => svg("g", {}, ...cells(row, y, places)));
  const height = Math.max(HEIGHT.least, Math.min(HEIGHT.most, HEIGHT.all / rows.length)) * rows.length;
  const view = { viewBox: `0 0 ${places.size} ${rows.length}`, preserveAspectRatio: "none", height };
  const label = `${count(rows.length, "row")} of windows over ${count(places.size, "candidate")}`;
  return { drawn, image: svg("svg", { ...view, class: "rounds", role: "img", "aria-label": label }, ...drawn) };
}

function player(rows, show) {
  const slider = element("input", { type: "range", min: 1, max: rows.length, value: rows.length, aria: { label: "Prompt shown" } });
  const play = element("button", { type: "button", className: "plain" }, "Play");
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const step = () => {
    if (!play.isConnected || slider.valueAsNumber === rows.length) return stop();
    slider.valueAsNumber += 1;
    return show(slider.valueAsNumber);
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    slider.valueAsNumber = 1;
    show(1);
    play.textContent = "Stop";
    timer = setInterval(step, Math.min(STEP_MS, 9000 / rows.length));
    return undefined;
  });
  slider.addEventListener("input", () => {
    stop();
    show(slider.valueAsNumber);
  });
  return { play, slider };
}

/** The rounds of a ranking and, for the prompt chosen, its label logits. `texts` are the candidates by id. */
export function rounds({ answer, results }, texts) {
  const windows = withFates(answer.rerank.windows ?? [], results);
  if (windows.length === 0) return element("p", { className: "about" }, "No prompt was read for this list.");
  const rows = rowsOf(windows);
  const places = new Map([...texts.keys(), ...windows.flatMap((window) => window.ids)].map((id) => [id, 0]));
  [...places.keys()].forEach((id, place) => places.set(id, place));
  const { drawn, image } = picture(rows, places);
  const table = element("details", {}, element("summary", {}, "Logits"));
  const told = element("output", { className: "about" });
  const show = (until) => {
    drawn.forEach((row, place) => row.setAttribute("class", place + 1 < until ? "past" : place + 1 > until ? "later" : "now"));
    const { round } = rows[until - 1][0];
    told.textContent = `Round ${round} of ${answer.rerank.rounds}, ${count(rows[until - 1][0].ids.length, "passage")} a prompt`;
    table.replaceChildren(table.firstChild, logits(rows[until - 1], texts));
  };
  const { play, slider } = player(rows, show);
  show(rows.length);
  return element("div", { className: "player" },
    image,
    element("div", { className: "axis about" }, element("span", {}, "rank 1"), element("span", {}, `rank ${places.size}`)),
    element("div", { className: "controls", hidden: rows.length === 1 }, play, slider, told),
    element("p", { className: "legend about" }, element("i", { className: "advanced" }), "read again or in the answer",
      element("i", { className: "left" }), "read for the last time"),
    table);
}
