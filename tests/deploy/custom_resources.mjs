// Validates custom resources, a JSON array on standard input, against their definitions; prints the names of those that
// are right, and throws at the first that is not. The argument is the node_modules folder that has the definitions.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const MODULES = {
  ScaledObject: "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject.js",
  ServiceMonitor: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor.js",
};

for (const resource of JSON.parse(readFileSync(0, "utf8"))) {
  const module = await import(pathToFileURL(`${process.argv[2]}/${MODULES[resource.kind]}`));
  new module[resource.kind](resource).validate();
  console.log(resource.metadata.name);
}
