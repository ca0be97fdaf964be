"""Sparse vectors over a vocabulary, many in one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class SparseVectors:
    """Rows of weights over vocabulary entries, in compressed rows.

    Row ``i`` holds ``terms[starts[i]:starts[i + 1]]``, rising, with ``weights`` at the same places. ``starts`` has
    shape [rows + 1], int64; ``terms`` [entries], uint32; ``weights`` [entries], float32, all positive.
    """

    starts: NDArray[np.int64]
    terms: NDArray[np.uint32]
    weights: NDArray[np.float32]

    @property
    def rows(self) -> int:
        """How many vectors these are."""
        return len(self.starts) - 1

    @classmethod
    def joined(cls, rows: Sequence[tuple[NDArray[np.uint32], NDArray[np.float32]]]) -> SparseVectors:
        """Vectors given one by one as terms and weights."""
        starts = np.cumsum([0, *(len(terms) for terms, _ in rows)], dtype=np.int64)
        terms = [terms for terms, _ in rows] or [np.empty(0, np.uint32)]
        weights = [weights for _, weights in rows] or [np.empty(0, np.float32)]
        return cls(starts, np.concatenate(terms).astype(np.uint32), np.concatenate(weights).astype(np.float32))

    def row(self, number: int) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """Terms and weights of one vector."""
        chosen = slice(int(self.starts[number]), int(self.starts[number + 1]))
        return self.terms[chosen], self.weights[chosen]

    def take(self, numbers: Sequence[int]) -> SparseVectors:
        """Some of the vectors, in the order of ``numbers``."""
        return SparseVectors.joined([self.row(number) for number in numbers])
