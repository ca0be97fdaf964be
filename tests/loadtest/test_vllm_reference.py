from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from loadtest.tiny_model import find, write_model
from loadtest.vllm_reference import ReferenceScorer
from service.deadline import Deadline
from service.engine.scorer import Prompt
from service.engine.vllm import safetensors

pytestmark = pytest.mark.anyio


def tensor(*rows: list[float]) -> safetensors.Tensor:
    values = np.array(rows if len(rows) > 1 else rows[0], np.float32)
    return safetensors.Tensor("F32", values.shape, memoryview(values.tobytes()))


async def test_a_model_of_one_layer_says_what_is_worked_out_by_hand(tmp_path: Path) -> None:
    """Two tokens of width 2: the last attends to both alike, as keys are zero, and values are swapped embeddings."""
    zero, swap, same = ([0.0, 0.0], [0.0, 0.0]), ([0.0, 1.0], [1.0, 0.0]), ([1.0, 0.0], [0.0, 1.0])
    layer = "model.layers.0"
    tensors = {
        "model.embed_tokens.weight": tensor([3.0, 4.0], [1.0, 1.0]),
        f"{layer}.input_layernorm.weight": tensor([1.0, 1.0]),
        f"{layer}.self_attn.q_proj.weight": tensor(*same),
        f"{layer}.self_attn.k_proj.weight": tensor(*zero),
        f"{layer}.self_attn.v_proj.weight": tensor(*swap),
        f"{layer}.self_attn.o_proj.weight": tensor(*same),
        f"{layer}.post_attention_layernorm.weight": tensor([1.0, 1.0]),
        f"{layer}.mlp.gate_proj.weight": tensor(*same),
        f"{layer}.mlp.up_proj.weight": tensor(*same),
        f"{layer}.mlp.down_proj.weight": tensor(*zero),
        "model.norm.weight": tensor([1.0, 1.0]),
        "lm_head.weight": tensor([1.0, 0.0], [0.0, 1.0], [1.0, 1.0]),
    }
    safetensors.write(tmp_path / "model.safetensors", tensors)
    config = {"num_attention_heads": 1, "num_hidden_layers": 1, "rms_norm_eps": 0.0}
    (tmp_path / "config.json").write_text(json.dumps(config))

    prompt = Prompt(np.array([0, 1], np.uint32), (0, 1, 2))
    [logits] = await ReferenceScorer(tmp_path).score([prompt], Deadline.never())

    first = np.array([3.0, 4.0]) / np.sqrt((9 + 16) / 2)  # the norm of the first token; that of the second is 1, 1
    hidden = np.array([1.0, 1.0]) + (first[::-1] + 1) / 2
    normal = hidden / np.sqrt((hidden**2).mean())
    assert logits == pytest.approx((normal[0], normal[1], normal.sum()), abs=1e-5)


async def test_the_order_of_tokens_matters_and_what_comes_later_does_not(tmp_path: Path) -> None:
    scorer = ReferenceScorer(write_model(find(), tmp_path))
    random = np.random.default_rng(1)
    ids = random.integers(1000, 6000, 300).astype(np.uint32)  # more than a block
    turned = np.concatenate([ids[1::-1], ids[2:]])
    one, other = await scorer.score([Prompt(ids, (5, 6, 7)), Prompt(turned, (5, 6, 7))], Deadline.never())
    assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 1e-3
    assert np.std(one) > 0.5


def test_the_tiny_model_is_the_same_every_time(tmp_path: Path) -> None:
    folders = [write_model(find(), tmp_path / name) for name in ("one", "two")]
    for file in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()
