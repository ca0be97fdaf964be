"""The listwise profile that load tests ask vLLM with, and a tiny Llama with random weights for it.

What such a model says means nothing, but it is exact: decoding, the identifier head and ``vllm_reference.py`` have to
say the same. Weights are drawn with a fixed seed and kept in bfloat16. They are written with NumPy alone.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from service.engine.vllm import safetensors
from service.engine.vllm.export_head import CONFIG, WEIGHTS
from service.ranking import profile as profiles
from service.ranking.profile import Profile
from service.tokenization.sources import FILE_NAME

NAME = "listwise"
PROFILES = Path(__file__).parents[1] / "tests" / "profiles"
SERVED_WITH = {"ONEPASS_RANKING__PROFILE": NAME, "ONEPASS_RANKING__PROFILES_DIRECTORY": str(PROFILES)}
"""Settings of a gateway that asks with this profile."""

_SEED = 7
_LAYERS, _WIDTH, _INNER, _HEADS, _KEY_HEADS, _HEAD_WIDTH = 2, 64, 128, 2, 1, 32
_VOCABULARY, _POSITIONS = 30_522, 2_048


def find(name: str = NAME) -> Profile:
    """A profile that ships, or one of the tests'."""
    return profiles.find(name, PROFILES)


def write_model(profile: Profile, folder: Path) -> Path:
    """A model folder for ``profile``, as vLLM reads it; returns ``folder``."""
    write_tokenizer(profile, folder)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "hidden_act": "silu",
        "hidden_size": _WIDTH,
        "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _KEY_HEADS,
        "head_dim": _HEAD_WIDTH,
        "vocab_size": _VOCABULARY,
        "max_position_embeddings": _POSITIONS,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 101,
        "eos_token_id": 102,
        "pad_token_id": 0,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2))
    safetensors.write(folder / WEIGHTS, _weights())
    return folder


def write_tokenizer(profile: Profile, folder: Path) -> None:
    """The profile's tokenizer, with what makes ``transformers`` take it as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(profile.directory / FILE_NAME, folder / FILE_NAME)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


def _weights() -> dict[str, safetensors.Tensor]:
    random = np.random.default_rng(_SEED)

    def normal(*shape: int, scale: float) -> safetensors.Tensor:
        return _bfloat16(random.standard_normal(shape, dtype=np.float32) * np.float32(scale))

    def ones() -> safetensors.Tensor:
        return _bfloat16(np.ones(_WIDTH, np.float32))

    narrow, wide = _WIDTH**-0.5, _INNER**-0.5
    weights = {"model.embed_tokens.weight": normal(_VOCABULARY, _WIDTH, scale=1.0)}
    for layer in (f"model.layers.{number}" for number in range(_LAYERS)):
        weights |= {
            f"{layer}.input_layernorm.weight": ones(),
            f"{layer}.self_attn.q_proj.weight": normal(_HEADS * _HEAD_WIDTH, _WIDTH, scale=narrow),
            f"{layer}.self_attn.k_proj.weight": normal(_KEY_HEADS * _HEAD_WIDTH, _WIDTH, scale=narrow),
            f"{layer}.self_attn.v_proj.weight": normal(_KEY_HEADS * _HEAD_WIDTH, _WIDTH, scale=narrow),
            f"{layer}.self_attn.o_proj.weight": normal(_WIDTH, _HEADS * _HEAD_WIDTH, scale=narrow),
            f"{layer}.post_attention_layernorm.weight": ones(),
            f"{layer}.mlp.gate_proj.weight": normal(_INNER, _WIDTH, scale=narrow),
            f"{layer}.mlp.up_proj.weight": normal(_INNER, _WIDTH, scale=narrow),
            f"{layer}.mlp.down_proj.weight": normal(_WIDTH, _INNER, scale=wide),
        }
    return weights | {
        "model.norm.weight": ones(),
        "lm_head.weight": normal(_VOCABULARY, _WIDTH, scale=4 * narrow),
    }


def _bfloat16(values: np.ndarray[Any, np.dtype[np.float32]]) -> safetensors.Tensor:
    """Rounded to the upper half of a float32, to the nearest even."""
    bits = values.view(np.uint32)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
    return safetensors.Tensor("BF16", values.shape, memoryview(rounded.tobytes()))
