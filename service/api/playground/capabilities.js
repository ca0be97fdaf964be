// What the running service takes, as its OpenAPI document says: a field that it does not have is not offered.
import { get } from "./api.js";

const FIELDS = { feedback: ["feedback"], window: ["rerank", "parameters", "window"] };

function resolved(document, schema) {
  return schema?.$ref ? document.components.schemas[schema.$ref.split("/").at(-1)] : schema;
}

function has(document, path) {
  let schema = document.components.schemas.SearchBody;
  for (const name of path) schema = resolved(document, schema?.properties?.[name]);
  return schema !== undefined;
}

/** Names of those optional fields of a search that this service has. */
export async function capabilities() {
  const document = await get("/openapi.json");
  return Object.keys(FIELDS).filter((name) => has(document, FIELDS[name]));
}
