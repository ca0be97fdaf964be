// The page asks the same endpoints as any client. Passages are untrusted: they are only ever set as text.
"use strict";

const $ = (id) => document.getElementById(id);

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Kept for as long as the page is open, and nowhere else.
function withKey(headers) {
  const key = $("key").value.trim();
  return key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
}

async function get(path) {
  const response = await fetch(path, { headers: withKey({}) });
  if (response.status === 401) {
    $("keyed").hidden = false;
    throw new Error("give an API key");
  }
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

function fill(select, values, chosen) {
  select.replaceChildren(...values.map((value) => {
    const option = element("option", value);
    option.selected = value === chosen;
    return option;
  }));
}

let profiles = [];

function fillStrategies() {
  const profile = profiles.find((p) => p.name === $("profile").value);
  if (profile) fill($("strategy"), ["(none)", ...profile.strategies], profile.strategy);
}

async function prepare() {
  const [indexes, served] = await Promise.all([get("/v1/indexes"), get("/v1/profiles")]);
  profiles = served;
  fill($("index"), indexes.map((i) => i.name), indexes.find((i) => i.default)?.name);
  fill($("profile"), profiles.map((p) => p.name), profiles.find((p) => p.default)?.name);
  fillStrategies();
  say("");
}

function requestBody() {
  const strategy = $("strategy").value;
  const count = Number($("candidates").value);
  return {
    query: $("query").value,
    index: $("index").value || null,
    mode: $("mode").value,
    candidates: count,
    top_k: count,
    timeout_ms: Number($("timeout").value),
    rerank: strategy === "(none)" ? { enabled: false } : { profile: $("profile").value, strategy },
  };
}

function passage(result, rank, move) {
  const item = element("li");
  if (move !== null) {
    const [sign, kind] = move > 0 ? [`▲ ${move}`, "up"] : move < 0 ? [`▼ ${-move}`, "down"] : ["=", ""];
    item.append(element("span", sign, `move ${kind}`));
  }
  item.append(element("b", `${rank}. ${result.document.title || result.id}`));
  item.append(element("p", result.document.text));
  if (move !== null) {
    const bar = element("meter");
    bar.value = result.score;
    bar.title = `relevance ${result.score.toFixed(3)}`;
    bar.setAttribute("aria-label", bar.title);
    item.append(bar);
  }
  return item;
}

function show(answer, body) {
  const shown = 10;
  const before = [...answer.results].sort((a, b) => a.first_stage.rank - b.first_stage.rank).slice(0, shown);
  $("before").replaceChildren(...before.map((r) => passage(r, r.first_stage.rank, null)));
  $("after").replaceChildren(
    ...answer.results.slice(0, shown).map((r) => passage(r, r.rank, r.first_stage.rank - r.rank)));
  const { total, ...stages } = answer.timings_ms;
  $("timings").replaceChildren(...Object.entries(stages).map(([name, ms]) => {
    const part = element("span", `${name} ${ms.toFixed(1)} ms`);
    part.style.setProperty("--share", String(Math.max(ms, total / 50)));
    return part;
  }));
  $("curl").textContent =
    `curl -s ${location.origin}/v1/search -H 'Content-Type: application/json' -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`;
  $("answer").hidden = false;
}

function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function say(text, warn = false) {
  $("status").textContent = text;
  $("status").classList.toggle("warn", warn);
}

async function ask(event) {
  event.preventDefault();
  const body = requestBody();
  say("Searching…");
  const response = await fetch("/v1/search", {
    method: "POST",
    headers: withKey({ "Content-Type": "application/json" }),
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) {
    say(`${answer.error.message} (${response.status})`, true);
    return;
  }
  show(answer, body);
  const { prompts, rounds, degraded, reason, strategy } = answer.rerank;
  const how = strategy ? `${strategy}: ${count(prompts, "prompt")} in ${count(rounds, "round")}` : "not reranked";
  say(`${answer.timings_ms.total.toFixed(0)} ms, ${how}${degraded ? `, degraded: ${reason}` : ""}`, degraded);
}

$("ask").addEventListener("submit", (event) => ask(event).catch((error) => say(String(error), true)));
$("profile").addEventListener("change", fillStrategies);
$("key").addEventListener("change", () => prepare().catch((error) => say(String(error), true)));
prepare().catch((error) => say(String(error), true));
