// What is behind a list: its rounds, its times, its call.
import { element } from "./dom.js";
import { rounds } from "./rounds.js";
import { snippets } from "./snippets.js";
import { waterfall } from "./waterfall.js";

export function panel(run, texts) {
  const { name, strategy } = run.setting;
  const title = name ? `${name} · ${strategy}: how it was read` : "How it was read";
  return element("section", { className: "panel", aria: { label: title } },
    element("h2", {}, title),
    rounds(run, texts),
    element("h3", {}, "Where the time went"),
    waterfall(run),
    snippets(run));
}
