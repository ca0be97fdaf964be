from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from service.encoders.encoders import SHIPPED
from service.engine.vllm import safetensors
from service.engine.vllm.export_head import WEIGHTS
from tests.cli.commands import Cli
from tests.hub import offline_hub
from tests.ranking.families import byte_level_bpe


@pytest.fixture
def e2rank_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub's cache that holds what is looked at of E2Rank, and no network."""
    config = {"architectures": ["Qwen3ForCausalLM"], "max_position_embeddings": 32768}
    offline_hub(tmp_path, monkeypatch, "Alibaba-NLP/E2Rank-0.6B", byte_level_bpe(), config)


def test_the_default_profile_is_listed(cli: Cli) -> None:
    output = cli("profiles", "list").output
    assert "onepass-embedded (default)" in output
    assert "encoded" in output


def test_a_profile_is_shown_as_its_file(cli: Cli) -> None:
    assert "passage_tokens: " in cli("profiles", "show", "onepass-embedded").output


def test_every_shipped_profile_is_listed_with_its_reading(cli: Cli) -> None:
    output = cli("profiles", "list").output
    for word in ("first", "qwen3-reranker", "rank-zephyr", "pointwise", "permutation"):
        assert word in output


@pytest.mark.usefixtures("comparing")
def test_an_engine_that_does_not_understand_its_prompts_is_found_out(cli: Cli) -> None:
    output = cli("profiles", "check", "listwise", code=1).output
    assert "ok     each of the 20 labels is a single token" in output
    assert "ok     the longest prompt, " in output
    assert "wrong  the one passage that answers 'How do bees make honey?' came first from" in output


def test_a_profile_that_does_not_exist_is_named(cli: Cli) -> None:
    for command in ("show", "check"):
        assert "no profile of that name" in cli("profiles", command, "unheard-of", code=2).output


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder with tied embeddings of zeros in place of the default profile's folder."""
    folder = tmp_path / "models" / "encoders"
    folder.mkdir(parents=True)
    config = {"architectures": ["OPTForCausalLM"], "max_position_embeddings": 4096, "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 1, "word_embed_proj_dim": 1}))
    shutil.copyfile(SHIPPED / "tokenizer.json", folder / "tokenizer.json")
    rows = np.zeros((40_000, 1), np.float32)
    tensors = {"model.decoder.embed_tokens.weight": safetensors.Tensor("F32", rows.shape, memoryview(rows.tobytes()))}
    safetensors.write(folder / WEIGHTS, tensors)
    monkeypatch.setenv("ONEPASS_RANKING__MODELS_DIRECTORY", str(folder.parent))


@pytest.mark.usefixtures("comparing", "tiny")
def test_the_arguments_of_a_vllm_server_are_printed_for_a_shell(cli: Cli) -> None:
    printed = shlex.split(cli("profiles", "vllm-args", "listwise").stdout)

    assert printed[printed.index("--served-model-name") + 1] == "listwise"
    assert printed[printed.index("--max-model-len") + 1] == "1921"


@pytest.mark.usefixtures("comparing", "tiny")
def test_a_head_is_exported_and_then_served_as_one(cli: Cli, tmp_path: Path) -> None:
    refused = cli("profiles", "vllm-args", "listwise", "--mode", "head", code=2)
    assert "export-head" in refused.output

    cli("profiles", "export-head", "listwise", tmp_path / "head")

    printed = cli("profiles", "vllm-args", "listwise", "--mode", "head", "--model", tmp_path / "head").stdout
    assert "--runner pooling --convert classify" in printed


def test_a_profile_of_encoders_has_no_model_server(cli: Cli, tmp_path: Path) -> None:
    for arguments in (["vllm-args", "onepass-embedded"], ["export-head", "onepass-embedded", tmp_path / "head"]):
        refused = " ".join(cli("profiles", *arguments, code=2).output.split())
        assert "onepass-embedded is read by encoders in the service's own process" in refused


@pytest.mark.usefixtures("e2rank_hub")
def test_a_model_at_its_hub_is_served_by_its_name_and_in_the_mode_of_its_profile(cli: Cli) -> None:
    printed = shlex.split(cli("profiles", "vllm-args", "e2rank").stdout)

    assert printed[:4] == ["--model", "Alibaba-NLP/E2Rank-0.6B", "--revision", "main"]
    assert printed[printed.index("--convert") + 1] == "embed"
    refused = cli("profiles", "vllm-args", "e2rank", "--mode", "head", code=2)
    assert "served with --mode embed" in refused.output


@pytest.mark.usefixtures("comparing")
def test_a_server_that_is_not_there_is_named(cli: Cli) -> None:
    output = cli("profiles", "check", "listwise", "--url", "http://127.0.0.1:9", code=1).output

    assert "127.0.0.1:9" in output
