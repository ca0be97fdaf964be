"""The model servers of every deployment are started with what ``onepass profiles vllm-args`` prints."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.ranking.profile import find
from tests.deploy.manifests import ROOT, documents, named, plain, pod_of
from tests.hub import offline_hub
from tests.ranking.families import FAMILIES


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
    assert compose["services"]["vllm"]["command"] == first
