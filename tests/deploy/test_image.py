"""The gateway's image, built from the Dockerfile by ``tests/deploy/build_image.sh``, run as a confined container."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtest.vllm_servers import free_port

IMAGE = os.environ.get("TEST_IMAGE", "")
ENVIRONMENT = os.environ | {"CONTAINERS_CONF": str(Path(__file__).with_name("containers.conf"))}
CONFINED = (
    *("--rm", "--read-only", "--tmpfs=/tmp:rw,size=64m,mode=1777"),
    *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--network=host", "--no-healthcheck"),  # podman's own timer of health checks needs systemd
)
MEGABYTES = 750
UNWANTED = ("gcc", "g++", "cc", "c++", "clang", "tcc", "make", "cmake", "nvcc")
LOOKED_FOR = (
    "import importlib.util, json, shutil, sys; "
    "print(json.dumps({'programs': [name for name in sys.argv[1:] if shutil.which(name)], "
    "'modules': [name for name in ('torch', 'vllm', 'setuptools', 'pip') if importlib.util.find_spec(name)]}))"
)

pytestmark = [
    pytest.mark.needs("podman"),
    pytest.mark.skipif(not IMAGE, reason="needs podman: TEST_IMAGE, see tests/deploy/build_image.sh"),
]


def podman(*arguments: str) -> str:
    """What a command of podman prints; it has to succeed."""
    done = subprocess.run(  # noqa: S603
        ["podman", *arguments],  # noqa: S607
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def indexes() -> Iterator[str]:
    """A volume with the demo index, built by the image."""
    volume = podman("volume", "create").strip()
    podman("run", *CONFINED, f"--volume={volume}:/var/lib/onepass/indexes", IMAGE, "index", "build", "stdlib")
    yield volume
    podman("volume", "rm", "--force", volume)


@contextmanager
def served(indexes: str) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A gateway in a container: podman's process, the container's name and the port."""
    port = free_port()
    name = f"onepass-test-{port}"
    settings = (f"--env=ONEPASS_SERVER__PORT={port}", "--env=ONEPASS_SERVER__HOST=127.0.0.1")
    volume = f"--volume={indexes}:/var/lib/onepass/indexes:ro"
    command = ["podman", "run", *CONFINED, *settings, volume, f"--name={name}", IMAGE]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stderr is not None
            if not any(f"http://127.0.0.1:{port}" in line for line in process.stderr):
                pytest.fail("the gateway ended before it listened")
            yield process, name, port
        finally:
            podman("rm", "--force", "--ignore", name)


def inspected() -> dict[str, Any]:
    (image,) = json.loads(podman("image", "inspect", IMAGE))
    assert isinstance(image, dict)
    return image


def test_it_ranks_without_root_and_with_nothing_to_write_on(indexes: str) -> None:
    with served(indexes) as (process, name, port):
        question = {"query": "read a csv file into dictionaries", "top_k": 3, "timeout_ms": 60_000}
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/search", json=question, timeout=90).json()
        assert "csv.DictReader" in [result["id"] for result in answer["results"]]
        assert answer["rerank"]["degraded"] is False

        assert podman("exec", name, "id", "-u").strip() == "10001"
        podman("exec", name, *inspected()["Healthcheck"]["Test"][1:])

        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_it_holds_no_compiler_no_torch_and_no_installer() -> None:
    found = podman("run", *CONFINED, "--entrypoint=python3", IMAGE, "-c", LOOKED_FOR, *UNWANTED)
    assert json.loads(found) == {"programs": [], "modules": []}


def test_it_can_send_traces() -> None:
    podman("run", *CONFINED, "--entrypoint=python3", IMAGE, "-c", "import opentelemetry.exporter.otlp.proto.http")


def test_it_is_small() -> None:
    assert inspected()["Size"] < MEGABYTES * 10**6


def test_it_says_what_it_is_and_whose_user_it_runs_as() -> None:
    image = inspected()
    assert image["User"] == "10001:10001"
    labels = image["Labels"]
    for name in ("title", "description", "licenses", "version", "revision"):
        assert labels[f"org.opencontainers.image.{name}"]


def test_nothing_of_the_build_machine_is_in_it() -> None:
    environment = inspected()["Config"]["Env"]
    assert not [value for value in environment if value.startswith("PIP_")]
    podman("run", *CONFINED, "--entrypoint=test", IMAGE, "!", "-s", "/etc/pip.conf")
