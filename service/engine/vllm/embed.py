"""Label values for models that embed a listwise prompt and compare it with each passage's own vector (E2Rank).

The value of a label is the cosine between the vector of the prompt, which shows the query and all passages of the
window, and the vector of the passage on its own (arXiv 2510.22733).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain import TokenIds
from service.engine.scorer import LabelLogits, Prompt, checked
from service.engine.vllm.answers import in_order, member
from service.engine.vllm.reading import Manners, Mode
from service.errors import EngineProtocolError

Vector = NDArray[np.float32]


class EmbedReading:
    """Reads the vectors of prompts and passages. A passage that several prompts of a call show is embedded once."""

    mode = Mode.EMBED
    path = "/v1/embeddings"

    def request(self, model: str, prompts: Sequence[Prompt], manners: Manners) -> dict[str, Any]:
        """The prompts, then their distinct passages; base64 is a third of the size of written numbers."""
        inputs = [*(prompt.token_ids for prompt in prompts), *_distinct(prompts).values()]
        return {
            "model": model,
            "input": [ids.tolist() for ids in inputs],
            "encoding_format": "base64",
            **manners.fields(),
        }

    def logits(self, answer: Any, prompts: Sequence[Prompt]) -> list[LabelLogits]:
        """The cosine of each prompt with each of its passages.

        Raises:
            EngineProtocolError: a vector is missing, is of another length than the others, is zero or not finite.
        """
        passages = _distinct(prompts)
        results = in_order(member(answer, "data"), len(prompts) + len(passages))
        vectors = _unit([_vector(member(result, "embedding")) for result in results])
        rows = dict(zip(passages, vectors[len(prompts) :], strict=True))
        return checked(
            prompts,
            [
                [float(vector @ rows[passage.tobytes()]) for passage in prompt.passages]
                for prompt, vector in zip(prompts, vectors, strict=False)
            ],
        )


def _distinct(prompts: Sequence[Prompt]) -> dict[bytes, TokenIds]:
    """Each passage once, by its ids, in the order in which prompts show them first."""
    return {passage.tobytes(): passage for prompt in prompts for passage in prompt.passages}


def _vector(text: Any) -> Vector:
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
    except (TypeError, ValueError, binascii.Error) as error:
        raise EngineProtocolError(f"an embedding is no base64 text of float32 values: {error}") from error


def _unit(vectors: Sequence[Vector]) -> NDArray[np.float32]:
    """Vectors as rows of length 1."""
    if len({len(vector) for vector in vectors}) != 1:
        raise EngineProtocolError("embeddings of one answer differ in length")
    rows = np.stack(vectors)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise EngineProtocolError("an embedding is zero or not finite")
    unit: NDArray[np.float32] = rows / lengths
    return unit
