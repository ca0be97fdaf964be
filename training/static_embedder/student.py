"""The static embedder as something that learns, and as the files the service reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from service.retrieval.embedding.wordpiece import WordPieces
from training.static_embedder.files import MAX_CHARACTERS, save


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
        """Write the files that ``StaticEmbedder`` reads."""
        query_weights, passage_weights = self.query_weights.detach().exp(), self.passage_weights.detach().exp()
        save(pieces, self.vectors.detach().numpy(), query_weights.numpy(), passage_weights.numpy(), folder)


def piece_rows(pieces: Sequence[str], texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """The rows of each text; a text of unknown words gets row 0, since an empty bag has no direction."""
    cutter = WordPieces(pieces, MAX_CHARACTERS)
    return [np.array(cutter.rows(text).tolist() or [0], dtype=np.int64) for text in texts]
