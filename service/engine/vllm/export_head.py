"""The identifier head as a checkpoint: a causal language model that keeps only its labels' output rows.

vLLM cuts such a head out by itself (``classifier_from_token``) for most architectures, but not for OPT with tied
embeddings; there it serves a checkpoint that carries the head as ``score.weight``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.engine.vllm import safetensors
from service.errors import ProfileError

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
_OUTPUT_ROWS = ("lm_head.weight", "model.decoder.embed_tokens.weight", "model.embed_tokens.weight")
CAUSAL, CLASSIFIER = "ForCausalLM", "ForSequenceClassification"
_TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt")


def export_head(model: Path, label_ids: Sequence[int], target: Path) -> None:
    """Write the folder ``model`` again as ``target``, with ``score.weight`` of shape [labels, hidden].

    ``model`` holds ``config.json``, ``model.safetensors`` and the tokenizer's files; ``label_ids`` are the token ids of
    a profile's labels in its order.

    Raises:
        ProfileError: the folder lacks a file, is no causal language model, or has no row for a label.
    """
    if target.resolve() == model.resolve():
        raise ProfileError("the head is written to another folder than the model's own")
    config = _classifier_config(read_config(model), len(label_ids))
    tensors = safetensors.read(model / WEIGHTS)
    tensors["score.weight"] = _output_rows(tensors).rows(label_ids)
    tensors.pop("lm_head.weight", None)
    target.mkdir(parents=True, exist_ok=True)
    safetensors.write(target / WEIGHTS, tensors)
    (target / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for pattern in _TOKENIZER_FILES:
        for file in model.glob(pattern):
            shutil.copyfile(file, target / file.name)


def read_config(model: Path) -> dict[str, Any]:
    """The content of a model folder's ``config.json``.

    Raises:
        ProfileError: it cannot be read, or is no JSON object.
    """
    try:
        config = json.loads((model / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProfileError(f"{model / CONFIG} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ProfileError(f"{model / CONFIG} is not a JSON object")
    return config


def _classifier_config(config: Mapping[str, Any], labels: int) -> dict[str, Any]:
    """``config`` as that of a classifier with ``labels`` classes."""
    names = config.get("architectures") or [""]
    if not names[0].endswith(CAUSAL):
        raise ProfileError(f"only a causal language model has label rows, not {names[0] or 'an unnamed architecture'}")
    if config.get("word_embed_proj_dim", config.get("hidden_size")) != config.get("hidden_size"):
        raise ProfileError("embeddings narrower than the hidden size are projected: their rows are no head")
    return {
        **config,
        "architectures": [names[0].removesuffix(CAUSAL) + CLASSIFIER],
        "num_labels": labels,
        "tie_word_embeddings": False,
    }


def _output_rows(tensors: Mapping[str, safetensors.Tensor]) -> safetensors.Tensor:
    """The matrix whose rows give each token's logit: the language model head, or the embeddings it is tied to."""
    for name in _OUTPUT_ROWS:
        if name in tensors:
            return tensors[name]
    raise ProfileError(f"the checkpoint has none of {', '.join(_OUTPUT_ROWS)}")
