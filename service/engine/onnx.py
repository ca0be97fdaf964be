"""The model inside this process: ONNX Runtime on the CPU, one prompt after another on a thread of its own.

A model folder holds ``model.int8.onnx`` or ``model.onnx``, and ``config.json`` with ``max_position_embeddings`` and
``vocab_size``. The graph takes ``input_ids`` [batch, tokens], ``last`` [batch], the index of each prompt's last token,
and ``label_ids`` [labels], all int64; it gives ``logits`` [batch, labels], float32. A graph that reads a part of its
weights from a file beside it says so in its metadata, ``sha256:FILE`` being the file's digest.

Prompts do not share a forward pass. On a CPU that would gain nothing: 8 prompts of 64, 256 or 512 tokens took as long
together as one by one. It would cost memory for padding and attention, let no answer go before the last one is done,
and make an answer depend on its company: dynamic int8 quantisation takes its ranges over the whole batch, which moved
logits by up to 0.3.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from service.engine.admissible import PromptLimits
from service.engine.batching import BatchingScorer
from service.engine.scorer import LabelLogits, Prompt
from service.errors import EngineRejected, EngineUnavailable, ProfileError
from service.observability.events import Notify

WEIGHTS = ("model.int8.onnx", "model.onnx")
INPUTS = ("input_ids", "last", "label_ids")
OUTPUT = "logits"
SHARED = "sha256:"
"""What the metadata's keys begin with that name a file and tell its digest."""


def onnx_scorer(
    folder: Path, *, threads: int = 2, queue_prompts: int = 512, notify: Notify = lambda _: None
) -> BatchingScorer:
    """A ``Scorer`` over the model in ``folder``: prompts queue up, and one is scored at a time by ``threads``.

    Raises:
        ProfileError: see ``OnnxRunner``.
    """
    one_prompt = 1  # as a budget of tokens: the first prompt always goes, a second one never fits
    runner = OnnxRunner(folder, threads=threads)
    return BatchingScorer(runner, batch_tokens=one_prompt, wait_s=0.0, queue_prompts=queue_prompts, notify=notify)


class OnnxRunner:
    """A ``Runner`` over the model in ``folder``; ``threads`` compute one forward pass.

    Raises:
        ProfileError: a file is missing or damaged, or it is not a model of this shape.
    """

    def __init__(self, folder: Path, *, threads: int = 2) -> None:
        weights = _weights(folder)
        config = _Config.read(folder / "config.json")
        self._session = _session(weights, threads)
        _check_shared(folder, self._session.get_modelmeta().custom_metadata_map)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="onnx")
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        self.model = f"{folder.name}@{digest[:12]}"
        self.limits = PromptLimits(config.max_position_embeddings, config.vocab_size)

    async def run(self, prompts: Sequence[Prompt]) -> list[LabelLogits]:
        """Label logits of each prompt.

        Raises:
            EngineRejected: the runtime refuses a prompt's shape or ids.
            EngineUnavailable: it fails otherwise, or is closed.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._score_all, prompts)
        except InvalidArgument as error:
            raise EngineRejected(f"ONNX Runtime refuses the prompt: {error}") from error
        except Exception as error:  # the runtime's errors share no class, and a closed executor raises RuntimeError
            raise EngineUnavailable(f"ONNX Runtime failed: {error}") from error

    async def close(self) -> None:
        """End the thread, after the prompts that it may be at."""
        await asyncio.to_thread(self._executor.shutdown)

    def _score_all(self, prompts: Sequence[Prompt]) -> list[LabelLogits]:
        return [self._score(prompt) for prompt in prompts]

    def _score(self, prompt: Prompt) -> LabelLogits:
        feed = {
            "input_ids": prompt.token_ids.astype(np.int64)[np.newaxis],
            "last": np.array([len(prompt.token_ids) - 1], dtype=np.int64),
            "label_ids": np.array(prompt.label_ids, dtype=np.int64),
        }
        (logits,) = self._session.run([OUTPUT], feed)
        return tuple(logits[0].tolist())


@dataclass(frozen=True, slots=True)
class _Config:
    """What a model's ``config.json`` says of its input."""

    max_position_embeddings: int
    vocab_size: int

    @classmethod
    def read(cls, file: Path) -> _Config:
        try:
            content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return cls(**{name: int(content[name]) for name in cls.__slots__})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ProfileError(f"{file}: not the configuration of a model: {error!r}") from error


def _weights(folder: Path) -> Path:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ProfileError(f"{folder}: there is neither {' nor '.join(WEIGHTS)}")


def _check_shared(folder: Path, digests: Mapping[str, str]) -> None:
    """Weights of another model would give an order, and a wrong one."""
    for key, digest in digests.items():
        name = key.removeprefix(SHARED)
        if name != key and hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise ProfileError(f"{folder / name}: not the file that the graph beside it was made with")


def _session(weights: Path, threads: int) -> onnxruntime.InferenceSession:
    onnxruntime.disable_telemetry_events()  # a service calls nobody but those it was told to call
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the CPU to others
    try:
        session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors share no class of their own
        raise ProfileError(f"{weights}: not a model that can be run: {error}") from error
    inputs, outputs = {each.name for each in session.get_inputs()}, {each.name for each in session.get_outputs()}
    if inputs != set(INPUTS) or OUTPUT not in outputs:
        raise ProfileError(f"{weights}: takes {sorted(inputs)} and gives {sorted(outputs)}, not the label logits")
    return session
