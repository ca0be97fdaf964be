"""The exact arguments of a vLLM server for a profile, so that nobody writes ``--hf-overrides`` by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.engine.vllm.decode import LABEL_LIMIT
from service.engine.vllm.discovery import GENERATED
from service.engine.vllm.export_head import CAUSAL, CLASSIFIER, read_config
from service.engine.vllm.reading import Mode
from service.errors import ConfigurationError

DRAIN_S = 30
"""Seconds that a server gets to finish what it holds when it is told to stop; vLLM's own default aborts it."""

_NO_CUTTING = frozenset({"OPT"})
"""Families whose tied embeddings vLLM cannot cut a head out of: theirs is exported as a checkpoint."""


_LAST_TOKEN = {"seq_pooling_type": "LAST", "use_activation": True}  # the activation is the norm
_EMBED = ["--runner", "pooling", "--convert", "embed", "--pooler-config", json.dumps(_LAST_TOKEN)]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the arguments depend on.

    Attributes:
        model: folder or hub name, as the server will see it.
        name: the name to serve it under.
        architecture: such as ``Qwen3ForCausalLM``, from ``config.json``.
        tied: whether the output rows are the embeddings.
        label_tokens: the labels as the tokenizer's vocabulary spells them, in the profile's order.
        prompt_tokens: length of the profile's longest prompt.
        positions: tokens that the model has positions for, generated ones included; ``None`` where unknown.
        generated: tokens generated after the prompt.
        revision: of the hub's repository; ``None`` for a folder.
    """

    model: str
    name: str
    architecture: str
    tied: bool
    label_tokens: tuple[str, ...]
    prompt_tokens: int
    positions: int | None = None
    generated: int = GENERATED
    revision: str | None = None


def facts_of(
    folder: Path,
    *,
    name: str,
    label_tokens: Sequence[str],
    prompt_tokens: int,
    generated: int = GENERATED,
    model: str | None = None,
    revision: str | None = None,
) -> ModelFacts:
    """The facts of a model whose ``config.json`` lies in ``folder``; ``model`` is what a server calls it, if not that.

    Raises:
        ProfileError: the file cannot be read.
    """
    config: Mapping[str, Any] = read_config(folder)
    architecture = (config.get("architectures") or [""])[0]
    tied = bool(config.get("tie_word_embeddings", True))
    positions = config.get("max_position_embeddings")
    return ModelFacts(
        model or str(folder),
        name,
        architecture,
        tied,
        tuple(label_tokens),
        prompt_tokens,
        positions,
        generated,
        revision,
    )


def server_arguments(facts: ModelFacts, mode: Mode) -> list[str]:
    """The arguments after ``vllm serve`` or ``python -m vllm.entrypoints.openai.api_server``.

    Raises:
        ConfigurationError: the model cannot be served in that mode; the message says what to do instead.
    """
    context = facts.prompt_tokens + facts.generated
    if facts.positions is not None and context > facts.positions:
        raise ConfigurationError(
            f"prompts of {facts.prompt_tokens} tokens and {facts.generated} generated need a context of {context}, "
            f"{facts.name} has {facts.positions}: lower the profile's context_tokens to "
            f"{facts.positions - facts.generated}"
        )
    common = [
        *("--model", facts.model),
        *(("--revision", facts.revision) if facts.revision else ()),
        *("--served-model-name", facts.name),
        *("--max-model-len", str(context)),
        *("--shutdown-timeout", str(DRAIN_S)),
    ]
    match mode:
        case Mode.HEAD:
            return common + _head(facts)
        case Mode.EMBED:
            return common + _EMBED
        case _:
            return common + _decode(facts, mode)


def _decode(facts: ModelFacts, mode: Mode) -> list[str]:
    labels = len(facts.label_tokens)
    if not facts.architecture.endswith(CAUSAL):
        raise ConfigurationError(f"{facts.architecture} generates nothing: serve it with --mode head")
    if mode is Mode.DECODE and labels > LABEL_LIMIT:
        raise ConfigurationError(
            f"decoding gives at most {LABEL_LIMIT} labels, not {labels}: serve it with --mode head"
        )
    return ["--generation-config", "vllm"]  # the model's own sampling defaults have no say in label logits


def _head(facts: ModelFacts) -> list[str]:
    if facts.architecture.endswith(CLASSIFIER):
        return ["--runner", "pooling", "--convert", "classify"]
    family = facts.architecture.removesuffix(CAUSAL)
    if facts.tied and family in _NO_CUTTING:
        raise ConfigurationError(
            f"vLLM cannot cut the label rows out of a {facts.architecture} with tied embeddings: write them with "
            "`profiles export-head` and serve that folder"
        )
    overrides = {
        "architectures": [family + CLASSIFIER],
        "classifier_from_token": list(facts.label_tokens),
        "method": "no_post_processing",
        "num_labels": len(facts.label_tokens),
    }
    return ["--runner", "pooling", "--hf-overrides", json.dumps(overrides, ensure_ascii=False)]
