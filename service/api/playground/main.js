// The page: its views, its form, and what becomes of a question.
import { get, useKey } from "./api.js";
import { before, ranked } from "./asking.js";
import { capabilities } from "./capabilities.js";
import { chosen, offer } from "./choices.js";
import { EXAMPLE, split } from "./documents.js";
import { $, element, options } from "./dom.js";
import { connect } from "./lines.js";
import { beforeColumn, failedColumn, rankedColumn, waitingColumn } from "./lists.js";
import { panel } from "./panels.js";
import { watch } from "./status.js";
import { offer as offerThemes } from "./theme.js";
import { failure } from "./words.js";

const DEMO = "python-docs";
const SAMPLES = ["read a csv file into dictionaries", "limit how many coroutines run at once", "run a shell command and get its output"];

const showLists = connect($("lists"));
let underWay = new AbortController();

function say(text, bad = false) {
  $("message").textContent = text;
  $("message").classList.toggle("warning", bad);
}

function tell(error) {
  if (error.name === "AbortError") return;
  if (error.status === 401) $("keyed").hidden = false;
  say(failure(error), true);
}

function asked() {
  const query = $("query").value;
  if (document.body.dataset.view === "documents") return { query, documents: split($("documents").value) };
  return { query, index: $("index").value, mode: $("mode").value };
}

async function answered(question, settings, signal) {
  const first = await before(question, settings, signal);
  const columns = [beforeColumn(first), ...settings.map(waitingColumn)];
  const texts = new Map(first.results.map((result) => [result.id, result]));
  $("empty").hidden = true;
  $("answer").hidden = false;
  $("panels").replaceChildren();
  showLists(...columns);
  for (const [place, setting] of settings.entries()) { // one after the other: side by side they would slow each other
    try {
      const run = await ranked(question, setting, signal);
      columns[place + 1] = rankedColumn(run);
      $("panels").append(panel(run, texts));
    } catch (error) {
      if (error.name === "AbortError") throw error;
      columns[place + 1] = failedColumn(setting, error);
    }
    showLists(...columns);
  }
}

async function ask(event) {
  event.preventDefault();
  const question = asked();
  if (question.documents?.length === 0) {
    say("Paste some documents first.", true);
    $("documents").focus();
    return;
  }
  underWay.abort();
  underWay = new AbortController();
  const { signal } = underWay;
  say("Ranking…");
  $("answer").setAttribute("aria-busy", "true");
  try {
    await answered(question, chosen(), signal);
    say("");
  } catch (error) {
    tell(error);
  }
  if (!signal.aborted) $("answer").removeAttribute("aria-busy");
}

function offerSamples() {
  $("samples").hidden = $("index").value !== DEMO;
  $("samples").replaceChildren(...SAMPLES.map((query) => {
    const button = element("button", { type: "button", className: "plain" }, query);
    button.addEventListener("click", () => {
      $("query").value = query;
      $("ask").requestSubmit();
    });
    return button;
  }));
}

async function prepare() {
  const [indexes, profiles, available] = await Promise.all([get("/v1/indexes"), get("/v1/profiles"), capabilities()]);
  options($("index"), indexes.map((index) => index.name), indexes.find((index) => index.default)?.name);
  offer(profiles, available);
  offerSamples();
  say("");
}

function view() {
  const name = ["documents", "status"].find((known) => location.hash === `#${known}`) ?? "search";
  if (document.body.dataset.view !== name) {
    underWay.abort();
    $("answer").hidden = true;
    $("empty").hidden = false;
    say("");
  }
  document.body.dataset.view = name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  $("ask").querySelector("[type=submit]").textContent = name === "documents" ? "Rerank" : "Search";
  watch($("state"), name === "status");
}

$("settings").open = matchMedia("(min-width: 46rem)").matches;
$("ask").addEventListener("submit", ask);
$("index").addEventListener("change", offerSamples);
$("key").addEventListener("change", () => {
  useKey($("key").value);
  prepare().catch(tell);
});
$("example").addEventListener("click", () => {
  $("query").value = EXAMPLE.query;
  $("documents").value = EXAMPLE.documents.join("\n");
});
addEventListener("hashchange", view);
offerThemes($("theme"));
view();
prepare().catch(tell);
