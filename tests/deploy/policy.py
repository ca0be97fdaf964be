"""What every workload of ``k8s/`` has to have. Each rule yields what is missing, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tests.deploy.manifests import Manifest, containers_of, of_kind, pod_of

PINNED = re.compile(r".+:v?\d[\w.-]*(@sha256:[0-9a-f]{64})?")
SECRET = re.compile(r"(KEY|TOKEN|PASSWORD|SECRET)$")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
PLACES = {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
TO_SPARE_S = 5
"""Seconds of the grace period that nothing is planned for."""

Rule = Callable[[Sequence[Manifest], Manifest], Iterator[str]]


def violations(manifests: Sequence[Manifest], settings: Mapping[str, str]) -> list[str]:
    """Everything that is wrong with ``manifests``, whose gateway has the environment ``settings``."""
    found = []
    for workload in of_kind(manifests, "Deployment", "Job"):
        serving = workload["kind"] == "Deployment"
        problems = [*pod_problems(pod_of(workload)), *network_problems(manifests, workload)]
        for container in containers_of(pod_of(workload)):
            problems += container_problems(container)
        if serving:
            problems += [problem for rule in SERVING for problem in rule(manifests, workload)]
            problems += ending_problems(workload, settings)
        found += [f"{workload['kind']} {workload['metadata']['name']}: {problem}" for problem in problems]
    return found + [f"Secret {secret['metadata']['name']} is in a file" for secret in of_kind(manifests, "Secret")]


def pod_problems(pod: Manifest) -> Iterator[str]:
    """Who a pod is, and what it may ask of the cluster."""
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "may run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "has no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "gets a token of the Kubernetes API"
    if pod.get("enableServiceLinks") is not False:
        yield "gets variables of Services, which may look like settings"


def container_problems(container: Manifest) -> Iterator[str]:
    """What a container may do, what it may use, and where it comes from."""
    context, resources = container.get("securityContext", {}), container.get("resources", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{container['name']} may gain privileges"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{container['name']} may write to its root file system"
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
        yield f"{container['name']} does not say what it needs"
    if "memory" not in resources.get("limits", {}):
        yield f"{container['name']} has no limit of memory"
    if not PINNED.fullmatch(container["image"]):
        yield f"{container['name']} has an image without a version"
    for variable in container.get("env", []):
        if SECRET.search(variable["name"]) and "value" in variable:
            yield f"{container['name']} has {variable['name']} in a file"


def probe_problems(_: Sequence[Manifest], workload: Manifest) -> Iterator[str]:
    for container in pod_of(workload)["containers"]:
        for probe in PROBES:
            if probe not in container:
                yield f"{container['name']} has no {probe}"


def disruption_problems(manifests: Sequence[Manifest], workload: Manifest) -> Iterator[str]:
    budgets = of_kind(manifests, "PodDisruptionBudget")
    if not any(selects(budget["spec"]["selector"], workload) for budget in budgets):
        yield "has no disruption budget"


def spread_problems(manifests: Sequence[Manifest], workload: Manifest) -> Iterator[str]:
    """More than one pod is spread over nodes and zones, and their number is either stated or scaled."""
    scalers = of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject")
    scaled = workload["metadata"]["name"] in [one["spec"]["scaleTargetRef"]["name"] for one in scalers]
    if scaled and "replicas" in workload["spec"]:
        yield "is scaled, and set back by its replicas whenever it is applied"
    constraints = pod_of(workload).get("topologySpreadConstraints", [])
    keys = {one["topologyKey"] for one in constraints if selects(one["labelSelector"], workload)}
    if (scaled or workload["spec"]["replicas"] > 1) and keys != PLACES:
        yield "is not spread over nodes and zones"


SERVING: tuple[Rule, ...] = (probe_problems, disruption_problems, spread_problems)


def ending_problems(workload: Manifest, settings: Mapping[str, str]) -> Iterator[str]:
    """A container leaves the Service first, then ends what is under way, and all of it within the grace period."""
    pod = pod_of(workload)
    for container in pod["containers"]:
        leaving = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if not leaving:
            yield f"{container['name']} ends while it is still called"
        needed = leaving + draining_s(container, settings) + TO_SPARE_S
        if needed > pod["terminationGracePeriodSeconds"]:
            yield f"{container['name']} needs {needed:g} s to end"


def draining_s(container: Manifest, settings: Mapping[str, str]) -> float:
    """Seconds that a container takes at most after SIGTERM."""
    arguments = container.get("args", [])
    if "--shutdown-timeout" in arguments:
        return float(arguments[arguments.index("--shutdown-timeout") + 1])
    if container["name"] != "gateway":
        return 0
    return sum(float(settings[f"ONEPASS_SERVER__{name}"]) for name in ("DRAIN_DELAY_S", "SHUTDOWN_GRACE_S"))


def network_problems(manifests: Sequence[Manifest], workload: Manifest) -> Iterator[str]:
    """Everything is denied that is not named, and each port is opened to somebody."""
    specs = [one["spec"] for one in of_kind(manifests, "NetworkPolicy")]
    policies = [spec for spec in specs if selects(spec["podSelector"], workload)]
    denied = {kind for spec in policies if not spec["podSelector"] for kind in spec["policyTypes"]}
    if denied != {"Ingress", "Egress"}:
        yield "may be reached by anybody, or reach anybody"
    opened = {port["port"] for spec in policies for rule in spec.get("ingress", []) for port in rule["ports"]}
    ports = {port["containerPort"] for one in containers_of(pod_of(workload)) for port in one.get("ports", [])}
    if ports != opened:
        yield f"listens at {sorted(ports)}, and the network policies open {sorted(opened)}"


def selects(selector: Mapping[str, Any], workload: Manifest) -> bool:
    """Whether a label selector selects the pods of a workload; of expressions only ``In`` is known."""
    labels = workload["spec"]["template"]["metadata"]["labels"]
    expressions = selector.get("matchExpressions", [])
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )
