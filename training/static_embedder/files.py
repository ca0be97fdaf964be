"""The files that the service reads a static embedder from; see ``service/retrieval/embedding/builtin.py``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

MAX_CHARACTERS = 4_096
"""Of a text, as the service reads it."""

LARGEST = 127
"""What int8 holds on both sides of zero."""

_TINY = 1e-30


def save(pieces: Sequence[str], vectors: Rows, query_weights: Rows, passage_weights: Rows, folder: Path) -> None:
    """Write vectors [pieces, dimension] and weights [pieces]: int8 rows, each with a scale that carries its weight."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = np.maximum(np.abs(vectors).max(axis=1), _TINY) / LARGEST
    np.save(folder / "vectors.npy", np.round(vectors / steps[:, None]).astype(np.int8))
    for kind, weights in (("query", query_weights), ("passage", passage_weights)):
        np.save(folder / f"{kind}_scales.npy", (steps * weights).astype(np.float32))
    (folder / "pieces.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
