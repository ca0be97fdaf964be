// Numbers and states of the API as people say them.

const REASONS = {
  deadline: "The time was over: this is the best order known by then.",
  engine_unavailable: "The model cannot be reached.",
  engine_rejected: "The model refused a prompt.",
  engine_protocol: "The model gave no usable answer.",
  embedder_unavailable: "The query could not be embedded, so the first stage was full text alone.",
  overloaded: "More is asked for than can be ranked in time.",
};

const STEPS = {
  fewer_candidates: "Only the best of the first stage were ranked.",
  single_window: "One window was read instead of the strategy asked for.",
  first_stage: "No prompt was read: this is the first stage's order.",
  no_feedback: "There was no second search.",
};

export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

export function milliseconds(ms) {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms).toLocaleString("en")} ms`;
}

export function degraded({ reason, degraded_step: step }) {
  return [`Degraded: ${reason}.`, REASONS[reason], STEPS[step]].filter(Boolean).join(" ");
}

export function failure(error) {
  if (error.status === undefined) return "The service cannot be reached.";
  const place = error.field ? ` (${error.field})` : "";
  if (error.status === 429) return `Too much at once: ${error.message}. Try again in ${error.retryAfter ?? 1} s.`;
  if (error.status === 401) return `An API key is needed: ${error.message}.`;
  return `${error.message}${place}. Status ${error.status}.`;
}
