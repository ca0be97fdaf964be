// Lines between neighbouring lists, from where a passage was to where it went.
import { svg } from "./dom.js";

function placed(frame, item, side) {
  const box = item.getBoundingClientRect();
  return { x: box[side] - frame.left, y: box.top + Math.min(box.height / 2, 28) - frame.top };
}

function line(from, to, kind, id) {
  const middle = (from.x + to.x) / 2;
  const path = svg("path", { d: `M${from.x} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${to.x} ${to.y}`, class: kind });
  path.dataset.id = id;
  return path;
}

function kind(origin, item) {
  if (!origin.dataset.rank) return "up afar"; // from beyond the passages shown
  const rise = origin.dataset.rank - item.dataset.rank;
  return rise > 0 ? "up" : rise < 0 ? "down" : "same";
}

function between(frame, left, right) {
  const before = new Map([...left.querySelectorAll("[data-id]")].map((item) => [item.dataset.id, item]));
  const more = left.querySelector(".more");
  return [...right.querySelectorAll("[data-id]")].flatMap((item) => {
    const origin = before.get(item.dataset.id) ?? ("found" in item.dataset ? null : more);
    if (!origin) return [];
    return [line(placed(frame, origin, "right"), placed(frame, item, "left"), kind(origin, item), item.dataset.id)];
  });
}

function draw(lists, picture) {
  const frame = lists.getBoundingClientRect();
  const shown = [...lists.querySelectorAll(".list")].filter((list) => list.offsetParent !== null);
  picture.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  picture.replaceChildren(...shown.slice(1).flatMap((list, place) => between(frame, shown[place], list)));
}

function light(lists, id) {
  for (const item of lists.querySelectorAll("[data-id]")) item.classList.toggle("lit", id !== null && item.dataset.id === id);
}

/** Keep lines drawn in `lists`, and light up a passage wherever it is while it is pointed at or has the focus. */
export function connect(lists) {
  const picture = svg("svg", { class: "lines", "aria-hidden": "true" });
  const pointed = (event) => light(lists, event.target.closest("[data-id]")?.dataset.id ?? null);
  const again = () => draw(lists, picture);
  lists.addEventListener("pointerover", pointed);
  lists.addEventListener("focusin", pointed);
  lists.addEventListener("pointerleave", () => light(lists, null));
  lists.addEventListener("resized", again);
  new ResizeObserver(again).observe(lists);
  return (...columns) => {
    lists.replaceChildren(...columns, picture);
    lists.dataset.columns = columns.length;
    again();
  };
}
