// A small line of the last values.
import { svg } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 48;

/** `values` may hold null where there was nothing to measure. */
export function sparkline(values, label) {
  const most = Math.max(...values.map((value) => value ?? 0)) || 1;
  const step = WIDTH / Math.max(values.length - 1, 1);
  let pen = "M";
  const path = values.map((value, place) => {
    if (value === null) {
      pen = "M";
      return "";
    }
    const point = `${pen}${(place * step).toFixed(1)} ${(HEIGHT - 3 - (value / most) * (HEIGHT - 6)).toFixed(1)}`;
    pen = "L";
    return point;
  }).join("");
  const line = svg("path", { d: path });
  return svg("svg", { class: "sparkline", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, line);
}
