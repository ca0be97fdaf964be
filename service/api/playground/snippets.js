// The same call for a shell and for Python.
import { keyed } from "./api.js";
import { element } from "./dom.js";

export function curl(path, body) {
  const key = keyed() ? " \\\n  -H \"Authorization: Bearer $ONEPASS_API_KEY\"" : "";
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl -s ${location.origin}${path} -H 'Content-Type: application/json'${key} \\\n  -d '${quoted}'`;
}

function literal(value, indent) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const lines = Array.isArray(value)
    ? value.map((item) => literal(item, inner))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${lines.map((line) => `${inner}${line},\n`).join("")}${indent}${close}`;
}

export function python(path, body) {
  const headers = keyed() ? "    headers={\"Authorization\": f\"Bearer {os.environ['ONEPASS_API_KEY']}\"},\n" : "";
  return `${keyed() ? "import os\n\n" : ""}import httpx

answer = httpx.post(
    "${location.origin}${path}",
${headers}    json=${literal(body, "    ")},
    timeout=${Math.ceil(body.timeout_ms / 1000) + 1},
).raise_for_status().json()
for result in answer["results"]:
    print(result["rank"], round(result["score"], 3), result["id"])
`;
}

async function copied(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code); // no clipboard without TLS: one key press is left to do
    button.textContent = "Selected";
  }
}

function snippet(name, text) {
  const code = element("pre", { tabIndex: 0, aria: { role: "region", label: name } }, text);
  const copy = element("button", { type: "button", className: "plain", aria: { label: `Copy ${name}` } }, "Copy");
  copy.addEventListener("click", () => copied(code, copy));
  return element("div", { className: "snippet" }, element("h4", {}, name), copy, code);
}

export function snippets({ path, body }) {
  return element("details", {}, element("summary", {}, "The same call as curl and Python"),
    snippet("curl", curl(path, body)), snippet("Python", python(path, body)));
}
