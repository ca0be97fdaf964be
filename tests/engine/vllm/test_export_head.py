from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine.vllm import safetensors
from service.engine.vllm.export_head import WEIGHTS, export_head
from service.errors import ProfileError

CONFIG = {"architectures": ["OPTForCausalLM"], "hidden_size": 3, "word_embed_proj_dim": 3, "tie_word_embeddings": True}
EMBEDDINGS = np.arange(30, dtype=np.float32).reshape(10, 3)


def tensor(values: Any, dtype: str = "F32") -> safetensors.Tensor:
    return safetensors.Tensor(dtype, values.shape, memoryview(values.tobytes()))


def checkpoint(folder: Path, **config: object) -> Path:
    folder.mkdir()
    tensors = {"model.decoder.embed_tokens.weight": tensor(EMBEDDINGS), "model.decoder.bias": tensor(EMBEDDINGS[0])}
    safetensors.write(folder / WEIGHTS, tensors)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.int8.onnx").write_text("not for vLLM")
    return folder


def values(found: safetensors.Tensor) -> Any:
    return np.frombuffer(found.data, dtype=np.float32).reshape(found.shape)


def test_the_head_holds_the_label_rows_in_their_order(tmp_path: Path) -> None:
    export_head(checkpoint(tmp_path / "model"), [7, 2, 4], tmp_path / "head")
    tensors = safetensors.read(tmp_path / "head" / WEIGHTS)
    assert np.array_equal(values(tensors["score.weight"]), EMBEDDINGS[[7, 2, 4]])
    assert np.array_equal(values(tensors["model.decoder.embed_tokens.weight"]), EMBEDDINGS)
    config = json.loads((tmp_path / "head" / "config.json").read_text())
    assert (config["architectures"], config["num_labels"]) == (["OPTForSequenceClassification"], 3)
    assert sorted(file.name for file in (tmp_path / "head").iterdir()) == ["config.json", WEIGHTS, "tokenizer.json"]


def test_an_output_matrix_of_its_own_goes_before_the_embeddings(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "model")
    tensors = safetensors.read(model / WEIGHTS)
    safetensors.write(tmp_path / "new", {**tensors, "lm_head.weight": tensor(EMBEDDINGS * 2)})
    (tmp_path / "new").replace(model / WEIGHTS)
    export_head(model, [1], tmp_path / "head")
    exported = safetensors.read(tmp_path / "head" / WEIGHTS)
    assert np.array_equal(values(exported["score.weight"]), EMBEDDINGS[[1]] * 2)
    assert "lm_head.weight" not in exported


def test_rows_of_any_dtype_are_copied_bit_by_bit() -> None:
    raw = bytes(range(12))
    matrix = safetensors.Tensor("BF16", (3, 2), memoryview(raw))
    assert bytes(matrix.rows([2, 0]).data) == raw[8:12] + raw[0:4]


@pytest.mark.parametrize(
    ("config", "labels", "message"),
    [
        ({"architectures": ["OPTForSequenceClassification"]}, [1], "causal"),
        ({"architectures": []}, [1], "unnamed"),
        ({"word_embed_proj_dim": 2}, [1], "projected"),
        ({}, [10], "10 rows"),
    ],
)
def test_what_has_no_such_head_is_refused(
    tmp_path: Path, config: dict[str, object], labels: list[int], message: str
) -> None:
    with pytest.raises(ProfileError, match=message):
        export_head(checkpoint(tmp_path / "model", **config), labels, tmp_path / "head")


def test_a_checkpoint_is_not_written_over_itself(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "model")
    with pytest.raises(ProfileError, match="another folder"):
        export_head(model, [1], model)


@pytest.mark.parametrize("content", [b"", b"\x05", b"\xff" * 40, (2).to_bytes(8, "little") + b"[]"])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ProfileError, match="cannot be read"):
        safetensors.read(tmp_path / "file")


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    safetensors.write(tmp_path / "file", {"a": tensor(EMBEDDINGS)})
    whole = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(whole[:-1])
    with pytest.raises(ProfileError, match="shorter"):
        safetensors.read(tmp_path / "file")
