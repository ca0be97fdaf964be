"""The rules of ``policy.py`` over the files of ``k8s/`` as they are; see ``test_overlays.py`` for what is deployed."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from service.settings import load
from tests.deploy.manifests import KUSTOMIZATIONS, ROOT, containers_of, generated, named, of_kind, plain, pod_of
from tests.deploy.policy import container_problems, violations

BASE = generated(ROOT / "k8s/base/kustomization.yaml")["gateway-settings"]


def unscaled() -> list[Any]:
    """The resources of base and components as they are before autoscalers take the place of fixed numbers."""
    return [one for one in plain("resources") if one["kind"] not in {"HorizontalPodAutoscaler", "ScaledObject"}]


def test_every_workload_has_what_it_should_have() -> None:
    assert {one["metadata"]["name"] for one in of_kind(unscaled(), "Deployment")} == {"gateway", "vllm", "valkey"}
    assert violations(unscaled(), BASE) == []


def test_every_container_that_a_component_adds_is_confined() -> None:
    added = [
        container
        for patch in of_kind(plain("patches"), "Deployment")
        for container in containers_of(pod_of(patch))
        if "image" in container
    ]
    assert len(added) == 3
    assert [problem for container in added for problem in container_problems(container)] == []


def gateway(manifests: list[Any]) -> Any:
    return named(manifests, "Deployment", "gateway")["spec"]


def container(manifests: list[Any]) -> Any:
    return gateway(manifests)["template"]["spec"]["containers"][0]


BREAKS: dict[str, Callable[[list[Any]], Any]] = {
    "may run as root": lambda all_: gateway(all_)["template"]["spec"]["securityContext"].pop("runAsNonRoot"),
    "no seccomp profile": lambda all_: gateway(all_)["template"]["spec"]["securityContext"].pop("seccompProfile"),
    "gets a token": lambda all_: gateway(all_)["template"]["spec"].pop("automountServiceAccountToken"),
    "variables of Services": lambda all_: gateway(all_)["template"]["spec"].pop("enableServiceLinks"),
    "gain privileges": lambda all_: container(all_)["securityContext"].pop("capabilities"),
    "root file system": lambda all_: container(all_)["securityContext"].pop("readOnlyRootFilesystem"),
    "what it needs": lambda all_: container(all_)["resources"].pop("requests"),
    "no limit of memory": lambda all_: container(all_)["resources"].pop("limits"),
    "without a version": lambda all_: container(all_).update(image="onepass-gateway:latest"),
    "ADMIN_KEY in a file": lambda all_: container(all_)["env"][0].update(value="sesame"),
    "no readinessProbe": lambda all_: container(all_).pop("readinessProbe"),
    "still called": lambda all_: container(all_).pop("lifecycle"),
    "35 s to end": lambda all_: gateway(all_)["template"]["spec"].update(terminationGracePeriodSeconds=30),
    "no disruption budget": lambda all_: all_.remove(named(all_, "PodDisruptionBudget", "gateway")),
    "not spread": lambda all_: gateway(all_)["template"]["spec"]["topologySpreadConstraints"].pop(),
    "may be reached by anybody": lambda all_: all_.remove(named(all_, "NetworkPolicy", "default-deny")),
    "listens at [8080]": lambda all_: all_.remove(named(all_, "NetworkPolicy", "clients-to-gateway")),
    "is in a file": lambda all_: all_.append({"kind": "Secret", "metadata": {"name": "keys"}}),
}


@pytest.mark.parametrize("problem", BREAKS)
def test_what_is_taken_away_is_missed(problem: str) -> None:
    manifests = deepcopy(unscaled())
    BREAKS[problem](manifests)
    assert [found for found in violations(manifests, BASE) if problem in found]


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_every_setting_can_be_loaded(kustomization: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (BASE | generated(kustomization).get("gateway-settings", {})).items():
        monkeypatch.setenv(name, value)
    load()
