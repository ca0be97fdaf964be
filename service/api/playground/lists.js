// Lists of passages side by side.
import { SHOWN } from "./bodies.js";
import { bar, element } from "./dom.js";
import { count, degraded, failure, milliseconds } from "./words.js";

function badge(move) {
  if (move === 0) return element("span", { className: "move", title: "same rank" }, "=");
  const [sign, kind, word] = move > 0 ? ["▲", "up", "up"] : ["▼", "down", "down"];
  const said = `${word} ${Math.abs(move)}`;
  return element("span", { className: `move ${kind}`, title: said, aria: { role: "img", label: said } }, `${sign} ${Math.abs(move)}`);
}

function fresh() {
  return element("span", { className: "move up", title: "found by feedback" }, "new");
}

function head(result) {
  const { title } = result.document;
  const text = element("p", { className: "text", dir: "auto" }, result.document.text);
  const open = element(
    "button",
    { type: "button", className: "open", dir: "auto", aria: { expanded: "false" } },
    title || `Passage ${result.from ?? result.rank}`,
  );
  open.addEventListener("click", () => {
    const whole = text.classList.toggle("whole");
    open.setAttribute("aria-expanded", String(whole));
    open.dispatchEvent(new Event("resized", { bubbles: true }));
  });
  return { open, text };
}

function card(result, share, label) {
  const { open, text } = head(result);
  const moved = result.found ? fresh() : result.from === undefined ? null : badge(result.from - result.rank);
  const line = element("div", { className: "head" }, element("span", { className: "rank" }, String(result.rank)), open, moved);
  const score = share === null ? null : element("div", { className: "score" }, bar(share, label), result.score.toFixed(3));
  return element("li", { className: "card", data: { id: result.id, rank: result.rank, ...(result.found && { found: "" }) } }, line, text, score);
}

function column(title, about, note, items) {
  const list = element("ol", {}, ...items);
  return element("section", { className: "list", aria: { label: title } },
    element("h2", {}, title), element("p", { className: "about" }, about), note, list);
}

function warning(text) {
  return element("p", { className: "warning" }, text);
}

/** The list before ranking; what is beyond those shown is told in one line. */
export function beforeColumn({ title, about, ms, results }) {
  const most = Math.max(...results.map((result) => result.score ?? 0));
  const items = results.slice(0, SHOWN).map((result) => {
    const share = result.score === undefined || !most ? null : result.score / most;
    return card(result, share, `score ${result.score?.toFixed(3)}`);
  });
  if (results.length > SHOWN) items.push(element("li", { className: "more" }, `and ${results.length - SHOWN} more`));
  const details = [about, count(results.length, "passage"), ms === undefined ? "" : milliseconds(ms)];
  return column(title, details.filter(Boolean).join(" · "), null, items);
}

function titleOf({ name, strategy }) {
  return name ? `${name} · ${strategy}` : "Reranked";
}

/** A ranked list, with a warning above it where it is degraded. */
export function rankedColumn({ setting, answer, results }) {
  const { rerank, timings_ms: timings, cache } = answer;
  const how = rerank.strategy
    ? [rerank.strategy, `${count(rerank.prompts, "prompt")} in ${count(rerank.rounds, "round")}`]
    : ["not reranked"];
  const kept = cache === "miss" || cache === "off" ? [] : [`cache ${cache}`];
  const note = rerank.degraded ? warning(degraded(rerank)) : null;
  const items = results.map((result) => card(result, result.score, `relevance ${result.score.toFixed(3)}`));
  return column(titleOf(setting), [...how, milliseconds(timings.total), ...kept].join(" · "), note, items);
}

export function failedColumn(setting, error) {
  return column(titleOf(setting), "", warning(failure(error)), []);
}

export function waitingColumn(setting) {
  const lines = Array.from({ length: 5 }, () => element("li", { className: "card waiting" }));
  return column(titleOf(setting), "Ranking…", null, lines);
}
