// One question to the service: what there was before ranking, then the list of each setting.
import { post } from "./api.js";
import { firstStageBody, rerankBody, searchBody } from "./bodies.js";

function given(documents) {
  return documents.map((text, place) => ({ id: String(place), rank: place + 1, document: { title: "", text } }));
}

/** With `from`, the rank before; or `found` by the second search alone, where a rank before means nothing. */
function withOrigin(result) {
  if (result.first_stage?.feedback) return { ...result, found: true };
  return { ...result, from: result.first_stage?.rank ?? result.index + 1 };
}

/** The list before ranking: `title`, `about` and `results`, each with `id`, `rank`, `document` and perhaps `score`. */
export async function before(asked, settings, signal) {
  if (asked.documents) return { title: "As pasted", about: "", results: given(asked.documents) };
  const { results, timings_ms: timings } = await post("/v1/search", firstStageBody(asked, settings), signal);
  const scored = results.map((result) => ({ ...result, rank: result.first_stage.rank, score: result.first_stage.score }));
  return { title: "First stage", about: asked.mode, ms: timings.total, results: scored };
}

/** The list of a setting: `path` and `body` that were sent, `answer`, and the milliseconds that the page waited. */
export async function ranked(asked, setting, signal) {
  const path = asked.documents ? "/v1/rerank" : "/v1/search";
  const body = asked.documents ? rerankBody(asked, setting) : searchBody(asked, setting);
  const started = performance.now();
  const answer = await post(path, body, signal);
  return { setting, path, body, answer, waited: performance.now() - started, results: answer.results.map(withOrigin) };
}
