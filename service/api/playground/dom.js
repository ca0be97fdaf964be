// Elements are made here and nowhere else, and text only ever becomes text: passages are untrusted.

export const $ = (id) => document.getElementById(id);

/** An HTML element; `properties` are set on it, `aria` and `data` as attributes of those kinds. */
export function element(tag, { aria = {}, data = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(name === "role" ? name : `aria-${name}`, value);
  Object.assign(made.dataset, data);
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A horizontal bar, `share` of its place long, that begins at `from`. */
export function bar(share, label, from = 0) {
  const filled = element("span");
  filled.style.width = `${100 * share}%`;
  filled.style.marginInlineStart = `${100 * from}%`;
  return element("span", { className: "bar", title: label, aria: { role: "img", label } }, filled);
}

export function options(select, names, chosen) {
  select.replaceChildren(...names.map((name) => new Option(name, name, name === chosen, name === chosen)));
}
