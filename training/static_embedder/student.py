"""The static embedder with trainable parameters, and the files that the service reads it from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from service.retrieval.embedding.wordpiece import WordPieces

MAX_CHARACTERS = 4_096  # of a text, as the service reads it
_LARGEST = 127  # of int8
_TINY = 1e-30


class Student(torch.nn.Module):
    """A vector for each piece; its weight in a query and in a passage."""

    def __init__(self, vectors: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        super().__init__()
        self.vectors = torch.nn.Parameter(torch.from_numpy(vectors.copy()))
        log_weights = torch.from_numpy(np.log(weights))
        self.query_weights = torch.nn.Parameter(log_weights.clone())
        self.passage_weights = torch.nn.Parameter(log_weights.clone())

    def forward(self, rows: Sequence[NDArray[np.int64]], log_weights: torch.Tensor) -> torch.Tensor:
        """Unit vectors of texts given as rows of pieces, shape [texts, dimension]."""
        flat = torch.from_numpy(np.concatenate(rows))
        starts = torch.from_numpy(np.cumsum([0, *map(len, rows[:-1])]))
        pooled = torch.nn.functional.embedding_bag(
            flat, self.vectors, starts, mode="sum", per_sample_weights=log_weights[flat].exp()
        )
        return torch.nn.functional.normalize(pooled, dim=-1)

    def queries(self, rows: Sequence[NDArray[np.int64]]) -> torch.Tensor:
        """Unit vectors of queries."""
        return self(rows, self.query_weights)

    def passages(self, rows: Sequence[NDArray[np.int64]]) -> torch.Tensor:
        """Unit vectors of passages."""
        return self(rows, self.passage_weights)

    def save(self, pieces: Sequence[str], folder: Path) -> None:
        """Write what ``StaticEmbedder`` reads: int8 rows, each with a scale for queries and one for passages."""
        folder.mkdir(parents=True, exist_ok=True)
        vectors = self.vectors.detach().numpy()
        steps = np.maximum(np.abs(vectors).max(axis=1), _TINY) / _LARGEST
        np.save(folder / "vectors.npy", np.round(vectors / steps[:, None]).astype(np.int8))
        for kind, weights in (("query", self.query_weights), ("passage", self.passage_weights)):
            np.save(folder / f"{kind}_scales.npy", (steps * weights.detach().exp().numpy()).astype(np.float32))
        (folder / "pieces.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


def piece_rows(pieces: Sequence[str], texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """The rows of each text; a text of unknown words gets row 0, since an empty bag has no direction."""
    cutter = WordPieces(pieces, MAX_CHARACTERS)
    return [np.array(cutter.rows(text).tolist() or [0], dtype=np.int64) for text in texts]
