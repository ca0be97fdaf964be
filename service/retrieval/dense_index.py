"""The dense half of an index: the vectors of passages, each of one piece or several, in FAISS.

FAISS numbers pieces. ``pieces.npy``, int64 [documents + 1], says where the pieces of each document begin; without it
each document has one. A document is as near as its nearest piece.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import IndexCorrupt
from service.retrieval import index_store
from service.retrieval.embedding.embedder import PassageVectors, Vectors
from service.retrieval.faiss_index import FaissIndex
from service.retrieval.manifest import Manifest


class DenseIndex:
    """The vectors of one version, searched from several threads at once."""

    def __init__(self, version: Path, manifest: Manifest, *, gpu: bool = False) -> None:
        """Map the files into memory.

        Raises:
            IndexCorrupt: a file is damaged, or does not belong to the others.
            ConfigurationError: a GPU is asked for that cannot be used.
        """
        self._index = FaissIndex(version / index_store.VECTORS, gpu=gpu)
        self._starts = _starts(version, manifest)
        self.pieces = int(self._starts[-1])
        if (self._index.count, self._index.dimension) != (self.pieces, manifest.dimension):
            raise IndexCorrupt(
                f"{version} promises {self.pieces} vectors of {manifest.dimension} dimensions,"
                f" FAISS holds {self._index.count} of {self._index.dimension}"
            )

    def search(self, vector: Vectors, count: int) -> list[tuple[int, float]]:
        """Document numbers with cosines, best first, for one vector of shape [dimension].

        Raises ``RetrievalError`` if FAISS fails.
        """
        asked = count if self.pieces == len(self._starts) - 1 else 2 * count
        while True:
            found = self._index.search(vector, asked)
            documents = np.searchsorted(self._starts, [row for row, _ in found], side="right") - 1
            nearest: dict[int, float] = {}
            for document, (_, score) in zip(documents.tolist(), found, strict=True):
                nearest.setdefault(document, score)
            if len(nearest) >= count or len(found) < asked:  # enough documents, or no more pieces
                return list(nearest.items())[:count]
            asked *= 2

    def nearest_pieces(self, vector: Vectors, documents: NDArray[np.int64]) -> Vectors:
        """Of each document the piece nearest to ``vector``, shape [documents, dimension].

        Raises ``RetrievalError`` if FAISS fails.
        """
        vectors, counts = self._pieces_of(documents)
        cosines, ends = vectors @ vector, np.cumsum(counts)
        nearest = [end - n + cosines[end - n : end].argmax() for end, n in zip(ends, counts, strict=True)]
        return vectors[np.array(nearest, np.int64)]

    def vectors(self, documents: NDArray[np.int64]) -> PassageVectors:
        """The dense vectors of documents. Raises ``RetrievalError`` if FAISS fails."""
        return PassageVectors(*self._pieces_of(documents))

    def _pieces_of(self, documents: NDArray[np.int64]) -> tuple[Vectors, NDArray[np.int64]]:
        """The vectors of all pieces of documents, and how many belong to each."""
        first, counts = self._starts[documents], self._starts[documents + 1] - self._starts[documents]
        before = np.cumsum(counts) - counts
        rows = np.repeat(first - before, counts) + np.arange(counts.sum())
        return self._index.vectors(rows), counts


def _starts(version: Path, manifest: Manifest) -> NDArray[np.int64]:
    """Where the pieces of each document begin, shape [documents + 1]."""
    path = version / index_store.PIECES
    if index_store.PIECES not in manifest.files:
        return np.arange(manifest.documents + 1)
    try:
        starts: NDArray[np.int64] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise IndexCorrupt(f"{path} is not an array: {error}") from error
    suits = starts.shape == (manifest.documents + 1,) and starts.dtype == np.int64
    if not suits or starts[0] != 0 or (np.diff(starts) < 1).any():
        raise IndexCorrupt(f"{path} is not a rising array of {manifest.documents} documents' pieces")
    return starts
