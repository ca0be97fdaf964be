// How the service is, from what operators scrape: /readyz and /metrics.
import { probe, text } from "./api.js";
import { element } from "./dom.js";
import { parsed, sum } from "./prometheus.js";
import { sparkline } from "./sparkline.js";
import { count, failure, milliseconds } from "./words.js";

const EVERY_MS = 2000;
const REMEMBERED = 60;
const ANSWERED = ["hit", "stale", "shared"];

const latencies = [];
let last = null;
let timer = null;

function tile(title, value, ...more) {
  return element("section", { className: "tile", aria: { label: title } },
    element("h2", {}, title), element("p", { className: "value" }, value), ...more);
}

function lines(rows) {
  return element("ul", { className: "facts" }, ...rows.map(([name, value, bad = false]) =>
    element("li", {}, element("span", {}, name), element("b", { className: bad ? "bad" : "" }, value))));
}

const ranking = ({ route }) => /\/(search|rerank|score)$/.test(route);

/** The mean milliseconds of the requests since the last look, null where there were none. */
function latencySinceLast(samples) {
  const now = {
    count: sum(samples, "onepass_request_seconds_count", ranking),
    seconds: sum(samples, "onepass_request_seconds_sum", ranking),
  };
  const requests = last ? now.count - last.count : 0;
  const mean = requests > 0 ? (1000 * (now.seconds - last.seconds)) / requests : null;
  last = now;
  return mean;
}

function latencyTile(samples) {
  latencies.push(latencySinceLast(samples));
  latencies.splice(0, latencies.length - REMEMBERED);
  const known = latencies.filter((value) => value !== null);
  const newest = known.length ? milliseconds(known.at(-1)) : "quiet";
  const most = known.length ? `at most ${milliseconds(Math.max(...known))} in two minutes` : "nobody asks now";
  return tile("Latency", newest, sparkline(latencies, "Mean latency of the last two minutes"),
    element("p", { className: "about" }, `mean of two seconds, ${most}`));
}

function cacheTile(samples) {
  const asked = sum(samples, "onepass_cache_total");
  const had = sum(samples, "onepass_cache_total", ({ state }) => ANSWERED.includes(state));
  const rate = asked ? `${((100 * had) / asked).toFixed(0)} %` : "–";
  return tile("Cache hits", rate, element("p", { className: "about" }, `${count(had, "answer")} of ${count(asked, "request")}`));
}

function queueTile(samples) {
  return tile("Queue", count(sum(samples, "onepass_admission_waiting"), "ranking"), lines([
    ["under way", count(sum(samples, "onepass_admission_in_flight_tokens"), "token")],
    ["rate", `${Math.round(sum(samples, "onepass_admission_tokens_per_second")).toLocaleString("en")} tokens/s`],
    ["refused", count(sum(samples, "onepass_admission_refusals_total"), "request")],
  ]));
}

function requestsTile(samples) {
  const failed = ({ route, status }) => ranking({ route }) && Number(status) >= 500;
  return tile("Requests", sum(samples, "onepass_requests_total", ranking).toLocaleString("en"), lines([
    ["degraded", sum(samples, "onepass_degraded_total").toLocaleString("en")],
    ["failed", sum(samples, "onepass_requests_total", failed).toLocaleString("en")],
    ["prompts", sum(samples, "onepass_ranking_prompts_sum").toLocaleString("en")],
  ]));
}

function engineTile(ready, samples) {
  const engines = Object.entries(ready.engines).map(([name, up]) => [name, up ? "ready" : "down", !up]);
  const upstreams = samples.filter(({ name }) => name === "onepass_upstream_up")
    .map(({ labels, value }) => [labels.upstream, value ? "asked" : "down", !value]);
  const up = engines.filter(([, , bad]) => !bad).length;
  return tile("Models", `${up} of ${engines.length} ready`, lines([...engines, ...upstreams]));
}

function indexTile(ready, samples) {
  const indexes = Object.entries(ready.indexes);
  const documents = (index) => sum(samples, "onepass_index_documents", (labels) => labels.index === index);
  return tile("Indexes", `${indexes.length} served`, lines(indexes.flatMap(([name, version]) => [
    [name, count(documents(name), "document")],
    ["version", version],
  ])));
}

function stagesTile(samples) {
  const mean = (wanted) => {
    const of = ({ stage }) => stage === wanted;
    const runs = sum(samples, "onepass_stage_seconds_count", of);
    return runs ? milliseconds((1000 * sum(samples, "onepass_stage_seconds_sum", of)) / runs) : "–";
  };
  return tile("Ranking takes", mean("rank"), lines(["retrieve", "embed"].map((stage) => [stage, mean(stage)])));
}

async function look(place) {
  try {
    const [ready, exposition] = await Promise.all([probe("/readyz"), text("/metrics")]);
    const samples = parsed(exposition);
    place.replaceChildren(
      tile("Service", ready.ready ? "ready" : "ending", element("p", { className: "about" }, `${location.host}, every 2 s`)),
      latencyTile(samples),
      requestsTile(samples),
      cacheTile(samples),
      queueTile(samples),
      stagesTile(samples),
      engineTile(ready, samples),
      indexTile(ready, samples),
    );
  } catch (error) {
    place.replaceChildren(element("p", { className: "warning" }, failure(error)));
  }
}

/** Look every two seconds while `wanted`. */
export function watch(place, wanted) {
  clearInterval(timer);
  if (!wanted) return;
  look(place);
  timer = setInterval(() => look(place), EVERY_MS);
}
