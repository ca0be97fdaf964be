from __future__ import annotations

import shlex
from pathlib import Path

import pytest

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
    assert "onepass-mini (default)" in output
    assert "listwise" in output


def test_a_profile_is_shown_as_its_file(cli: Cli) -> None:
    assert "passage_tokens: " in cli("profiles", "show", "onepass-mini").output


def test_every_shipped_profile_is_listed_with_its_reading(cli: Cli) -> None:
    output = cli("profiles", "list").output
    for word in ("first", "qwen3-reranker", "rank-zephyr", "pointwise", "permutation"):
        assert word in output


def test_an_engine_that_does_not_understand_its_prompts_is_found_out(cli: Cli) -> None:
    output = cli("profiles", "check", "onepass-mini", code=1).output
    assert "ok     each of the 20 labels is a single token" in output
    assert "ok     the longest prompt, " in output
    assert "wrong  the one passage that answers 'How do bees make honey?' came first from" in output


def test_a_profile_that_does_not_exist_is_named(cli: Cli) -> None:
    for command in ("show", "check"):
        assert "no profile of that name" in cli("profiles", command, "unheard-of", code=2).output


def test_the_arguments_of_a_vllm_server_are_printed_for_a_shell(cli: Cli) -> None:
    printed = shlex.split(cli("profiles", "vllm-args", "onepass-mini").stdout)

    assert printed[printed.index("--served-model-name") + 1] == "onepass-mini"
    assert printed[printed.index("--max-model-len") + 1] == "1712"


def test_a_head_is_exported_and_then_served_as_one(cli: Cli, tmp_path: Path) -> None:
    refused = cli("profiles", "vllm-args", "onepass-mini", "--mode", "head", code=2)
    assert "export-head" in refused.output

    cli("profiles", "export-head", "onepass-mini", tmp_path)

    printed = cli("profiles", "vllm-args", "onepass-mini", "--mode", "head", "--model", tmp_path).stdout
    assert "--runner pooling --convert classify" in printed


@pytest.mark.usefixtures("e2rank_hub")
def test_a_model_at_its_hub_is_served_by_its_name_and_in_the_mode_of_its_profile(cli: Cli) -> None:
    printed = shlex.split(cli("profiles", "vllm-args", "e2rank").stdout)

    assert printed[:4] == ["--model", "Alibaba-NLP/E2Rank-0.6B", "--revision", "main"]
    assert printed[printed.index("--convert") + 1] == "embed"
    refused = cli("profiles", "vllm-args", "e2rank", "--mode", "head", code=2)
    assert "served with --mode embed" in refused.output


def test_a_server_that_is_not_there_is_named(cli: Cli) -> None:
    output = cli("profiles", "check", "onepass-mini", "--url", "http://127.0.0.1:9", code=1).output

    assert "127.0.0.1:9" in output
