// Where the time went: stages one after the other, as the service and the page measured them.
import { bar, element } from "./dom.js";
import { milliseconds } from "./words.js";

function stages({ answer, waited }) {
  const { embed, retrieve, rank, total } = answer.timings_ms;
  const named = [["Embed", embed], ["Retrieve", retrieve], ["Rank", rank]].filter(([, ms]) => ms > 0);
  const rest = Math.max(0, total - embed - retrieve - rank);
  return [...named, ["Rest", rest], ["Transfer", Math.max(0, waited - total)]];
}

export function waterfall(run) {
  const parts = stages(run);
  const all = parts.reduce((sum, [, ms]) => sum + ms, 0) || 1;
  let from = 0;
  const lines = parts.map(([name, ms]) => {
    const drawn = bar(Math.max(ms / all, 0.003), `${name} ${milliseconds(ms)}`, Math.min(from / all, 0.997));
    from += ms;
    return element("li", {}, element("span", {}, name), drawn, element("span", { className: "number" }, milliseconds(ms)));
  });
  return element("ol", { className: "waterfall" }, ...lines);
}
