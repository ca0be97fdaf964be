// The settings that a list is ranked with: one set of fields, or two to compare.
import { $, options } from "./dom.js";

export const NOT_RERANKED = "(none)";
const MADE_OF_PARTS = ["cascade", "fusion"]; // their stages or members have no place in a form this small

let profiles = [];
let optional = []; // names of the optional fields that the service has

function fill(fields) {
  options(fields.elements.profile, profiles.map((p) => p.name), profiles.find((p) => p.default)?.name);
  fillStrategies(fields);
}

/** A window only where a prompt shows more than one passage. */
function showNeeded(fields, profile) {
  for (const label of fields.querySelectorAll("[data-needs]")) {
    const name = label.dataset.needs;
    label.hidden = !optional.includes(name) || (name === "window" && profile?.window === 1);
  }
}

function fillStrategies(fields) {
  const profile = profiles.find((p) => p.name === fields.elements.profile.value);
  showNeeded(fields, profile);
  const names = profile?.strategies.filter((name) => !MADE_OF_PARTS.includes(name)) ?? [];
  options(fields.elements.strategy, [NOT_RERANKED, ...names], profile?.strategy);
}

function added(name) {
  const fields = $("choice").content.cloneNode(true).querySelector("fieldset");
  fields.querySelector("legend").textContent = name;
  fields.elements.profile.addEventListener("change", () => fillStrategies(fields));
  $("choices").append(fields);
  return fields;
}

const first = added("Ranking");
const second = added("Setting B");

function showBoth() {
  second.hidden = second.disabled = !$("compare").checked;
  first.querySelector("legend").textContent = $("compare").checked ? "Setting A" : "Ranking";
}

$("compare").addEventListener("change", showBoth);
showBoth();

/** Offer these profiles, and of the optional fields only those that the service has. */
export function offer(served, available) {
  profiles = served;
  optional = available;
  for (const fields of [first, second]) fill(fields);
}

/** What is chosen, one item for each list wanted. */
export function chosen() {
  const wanted = $("compare").checked ? [first, second] : [first];
  return wanted.map(({ elements: e }, place) => ({
    name: wanted.length > 1 ? "AB"[place] : "",
    profile: e.profile.value,
    strategy: e.strategy.value,
    window: e.window.closest("label").hidden ? null : Number(e.window.value) || null,
    candidates: Number(e.candidates.value),
    timeout: Number(e.timeout.value),
    feedback: e.feedback.checked,
  }));
}
