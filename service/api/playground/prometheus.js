// Reads the text format of /metrics, as far as this page needs it.

const LINE = /^(\w+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** Samples as objects of `name`, `labels` and `value`. */
export function parsed(text) {
  return text.split("\n").flatMap((line) => {
    const found = LINE.exec(line);
    if (!found) return [];
    const labels = Object.fromEntries([...(found[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value]));
    return [{ name: found[1], labels, value: Number(found[3]) }];
  });
}

export function sum(samples, name, keep = () => true) {
  return samples.filter((sample) => sample.name === name && keep(sample.labels)).reduce((all, { value }) => all + value, 0);
}
