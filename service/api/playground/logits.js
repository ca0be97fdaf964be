// The logits of a prompt's labels, in the order in which the passages were shown.
import { bar, element } from "./dom.js";

const MOST = 40;

function line(reading, least, range, texts) {
  const { id, place, logit, advanced } = reading;
  const known = texts.get(id);
  const name = known?.document.title || known?.document.text.slice(0, 200) || id;
  const share = range ? (logit - least) / range : 1;
  return element("tr", { className: advanced ? "advanced" : "" },
    element("td", {}, String(place + 1)),
    element("th", { scope: "row", dir: "auto" }, name),
    element("td", {}, bar(Math.max(share, 0.02), `logit ${logit.toFixed(2)}`)),
    element("td", {}, logit.toFixed(2)));
}

/** A table of one row of windows. */
export function logits(windows, texts) {
  const readings = windows.flatMap((window) =>
    window.ids.map((id, place) => ({ id, place, logit: window.logits[place], advanced: window.advanced[place] })));
  const values = readings.map((reading) => reading.logit);
  const least = Math.min(...values);
  const range = Math.max(...values) - least;
  const heads = ["Shown", "Passage", "", "Logit"].map((name) => element("th", { scope: "col" }, name));
  heads[2].append(element("span", { className: "unseen" }, "Bar"));
  const lines = readings.slice(0, MOST).map((reading) => line(reading, least, range, texts));
  const table = element("table", { className: "logits" },
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...lines));
  const rest = readings.length - lines.length;
  return element("div", {}, table, rest ? element("p", { className: "about" }, `and ${rest} more`) : null);
}
