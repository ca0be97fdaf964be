// What is sent. The bodies that the page shows as curl and Python are these very ones.
import { NOT_RERANKED } from "./choices.js";

export const SHOWN = 10;

function rerank({ profile, strategy, window }) {
  if (strategy === NOT_RERANKED) return { enabled: false };
  return { profile, strategy, ...(window && { parameters: { window } }) };
}

export function searchBody(asked, setting) {
  return {
    query: asked.query,
    ...(asked.index && { index: asked.index }),
    mode: asked.mode,
    candidates: setting.candidates,
    top_k: Math.min(SHOWN, setting.candidates),
    timeout_ms: setting.timeout,
    rerank: rerank(setting),
    ...(setting.feedback && { feedback: true }),
    explain: true,
  };
}

/** All candidates in the first stage's order, which is quick and tells the text of each passage that a window shows. */
export function firstStageBody(asked, settings) {
  const candidates = Math.max(...settings.map((setting) => setting.candidates));
  const { query, index, mode } = searchBody(asked, settings[0]);
  return { query, index, mode, candidates, top_k: candidates, rerank: { enabled: false } };
}

export function rerankBody(asked, setting) {
  return {
    query: asked.query,
    documents: asked.documents,
    top_n: Math.min(SHOWN, asked.documents.length),
    timeout_ms: setting.timeout,
    rerank: rerank(setting),
    explain: true,
    return_documents: true,
  };
}
