"""The model servers of every deployment are started with what ``onepass profiles vllm-args`` prints."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.ranking.profile import find
from tests.deploy.manifests import ROOT, documents, named, plain, pod_of
from tests.hub import offline_hub
from tests.ranking.families import FAMILIES

MODEL_IN_IMAGE = "/models/onepass-mini"


def printed(profile: str) -> list[str]:
    result = CliRunner().invoke(app, ["profiles", "vllm-args", profile])
    assert result.exit_code == 0, result.output
    return shlex.split(result.stdout)


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is printed for the profile ``first``, of whose model the arguments depend on the configuration alone."""
    config = {"architectures": ["MistralForCausalLM"], "max_position_embeddings": 32768, "tie_word_embeddings": False}
    offline_hub(tmp_path, monkeypatch, find("first").model, FAMILIES["first"](), config)
    return printed("first")


def test_those_on_kubernetes(first: list[str]) -> None:
    (container,) = pod_of(named(plain("resources"), "Deployment", "vllm"))["containers"]
    assert container["args"] == first


def test_the_one_of_compose_with_a_gpu(first: list[str]) -> None:
    (compose,) = documents((ROOT / "docker-compose.yml").read_text())
    assert compose["services"]["vllm-gpu"]["command"] == first


def test_the_one_without_a_gpu() -> None:
    expected = [
        MODEL_IN_IMAGE if part == str(find("onepass-mini").directory) else part for part in printed("onepass-mini")
    ]
    text = (ROOT / "Dockerfile").read_text()
    (stage,) = re.findall(r"AS cpu-model-server\n(.*?)\nFROM", text, re.DOTALL)
    (command,) = re.findall(r"^CMD (\[.*?\])$", stage.replace("\\\n", ""), re.MULTILINE)
    assert json.loads(command) == expected
    assert f"COPY service/models/onepass-mini {MODEL_IN_IMAGE}\n" in stage
