from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from service.engine.vllm.arguments import ModelFacts, facts_of, server_arguments
from service.engine.vllm.reading import Mode
from service.errors import ConfigurationError, ProfileError

QWEN = ModelFacts("Qwen/Qwen3-0.6B", "qwen", "Qwen3ForCausalLM", tied=True, label_tokens=("A", "B"), prompt_tokens=4000)
OPT = replace(QWEN, architecture="OPTForCausalLM")
COMMON = ["--model", "Qwen/Qwen3-0.6B", "--served-model-name", "qwen", "--max-model-len", "4001"]


def test_decode_needs_no_more_than_the_model() -> None:
    arguments = server_arguments(QWEN, Mode.DECODE)
    assert arguments[: len(COMMON)] == COMMON
    assert arguments[len(COMMON) :] == ["--shutdown-timeout", "30", "--generation-config", "vllm"]


def test_head_cuts_the_label_rows_out() -> None:
    arguments = server_arguments(QWEN, Mode.HEAD)
    assert arguments[-4:-1] == ["--runner", "pooling", "--hf-overrides"]
    assert json.loads(arguments[-1]) == {
        "architectures": ["Qwen3ForSequenceClassification"],
        "classifier_from_token": ["A", "B"],
        "method": "no_post_processing",
        "num_labels": 2,
    }


def test_an_exported_head_is_served_as_it_is() -> None:
    exported = replace(OPT, architecture="OPTForSequenceClassification")
    assert server_arguments(exported, Mode.HEAD)[-4:] == ["--runner", "pooling", "--convert", "classify"]
    with pytest.raises(ConfigurationError, match="--mode head"):
        server_arguments(exported, Mode.DECODE)


def test_a_head_that_vllm_cannot_cut_is_exported_instead() -> None:
    with pytest.raises(ConfigurationError, match="profiles export-head"):
        server_arguments(OPT, Mode.HEAD)
    assert "--hf-overrides" in server_arguments(replace(OPT, tied=False), Mode.HEAD)


def test_more_labels_than_decoding_gives_ask_for_the_head() -> None:
    many = replace(QWEN, label_tokens=tuple(f"<{number}>" for number in range(129)))
    with pytest.raises(ConfigurationError, match="--mode head"):
        server_arguments(many, Mode.DECODE)
    assert json.loads(server_arguments(many, Mode.HEAD)[-1])["num_labels"] == 129


def test_a_prompt_as_long_as_the_context_leaves_no_room() -> None:
    with pytest.raises(ConfigurationError, match="context_tokens to 3999"):
        server_arguments(replace(QWEN, positions=4000), Mode.DECODE)


def test_an_embedding_model_is_pooled_at_its_last_token() -> None:
    arguments = server_arguments(QWEN, Mode.EMBED)
    assert arguments[-6:-1] == ["--runner", "pooling", "--convert", "embed", "--pooler-config"]
    assert json.loads(arguments[-1]) == {"seq_pooling_type": "LAST", "use_activation": True}


def test_a_written_order_needs_room_and_a_hub_its_revision() -> None:
    arguments = server_arguments(replace(QWEN, generated=120, revision="main"), Mode.PERMUTATION)
    assert arguments[arguments.index("--max-model-len") + 1] == "4120"
    assert arguments[arguments.index("--revision") + 1] == "main"


def test_facts_come_from_the_model_folder(tmp_path: Path) -> None:
    content = {"architectures": ["OPTForCausalLM"], "tie_word_embeddings": False, "max_position_embeddings": 2048}
    (tmp_path / "config.json").write_text(json.dumps(content))
    facts = facts_of(tmp_path, name="mini", label_tokens=["A"], prompt_tokens=2047)
    assert facts == ModelFacts(str(tmp_path), "mini", "OPTForCausalLM", False, ("A",), 2047, 2048)
    with pytest.raises(ProfileError):
        facts_of(tmp_path / "nowhere", name="mini", label_tokens=["A"], prompt_tokens=1)
