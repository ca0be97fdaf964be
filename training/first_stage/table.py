"""The static embedder as numbers that can be moved: a vector for each piece, and the logarithms of its weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.retrieval.embedding.wordpiece import WordPieces
from training.static_embedder.files import LARGEST, MAX_CHARACTERS, Rows, save

_TINY = 1e-12


@dataclass(frozen=True)
class Bags:
    """Texts as counts of pieces: ``counts`` has shape [texts, used], ``used`` the row of each piece counted."""

    counts: Rows
    used: NDArray[np.intp]


@dataclass
class Table:
    """``vectors`` has shape [pieces, dimension], ``query_weights`` and ``passage_weights`` (logarithms) [pieces]."""

    pieces: list[str]
    vectors: Rows
    query_weights: Rows
    passage_weights: Rows

    @classmethod
    def load(cls, folder: Path) -> "Table":
        """The files of a static embedder; a row's largest value is about 1, whatever its scale."""
        scales = (np.load(folder / f"{kind}_scales.npy") for kind in ("query", "passage"))
        query_weights, passage_weights = (np.log(np.maximum(each * LARGEST, _TINY)) for each in scales)
        pieces = (folder / "pieces.txt").read_text(encoding="utf-8").splitlines()
        vectors = np.load(folder / "vectors.npy").astype(np.float32) / LARGEST
        return cls(pieces, vectors, query_weights, passage_weights)

    def save(self, folder: Path) -> None:
        """Write what the service reads."""
        save(self.pieces, self.vectors, np.exp(self.query_weights), np.exp(self.passage_weights), folder)

    def copy(self) -> "Table":
        """A table that does not move with this one."""
        return Table(self.pieces, self.vectors.copy(), self.query_weights.copy(), self.passage_weights.copy())


class Cutter:
    """Cuts texts into the pieces of a table, as the service does."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = WordPieces(pieces, MAX_CHARACTERS)

    def bags(self, queries: Sequence[str], passages: Sequence[str]) -> tuple[Bags, Bags]:
        """Queries and passages over the same ``used`` pieces."""
        rows = [np.array(self._pieces.rows(text), dtype=np.intp) for text in (*queries, *passages)]
        used, columns = np.unique(np.concatenate(rows), return_inverse=True)
        texts = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        counts = np.zeros((len(rows), len(used)), dtype=np.float32)
        np.add.at(counts, (texts, columns), 1)
        return Bags(counts[: len(queries)], used), Bags(counts[len(queries) :], used)
