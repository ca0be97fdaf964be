"""The sparse half of an index: an inverted file of learned weights, written once, searched from a memory map.

    header        magic, documents, terms, entries       8 bytes each
    offsets       int64 [terms + 1]                       where each term's entries begin and end
    rows          uint32 [entries]                        of the documents that hold a term, rising
    weights       float16 [entries]                       what the term weighs in each

A search adds up the entries of the query's terms, document by document: exact, and with ten or twenty terms a fraction
of what pruning would have to save. ``scipy.sparse`` has no half precision and would multiply with the whole vocabulary;
the lines that it would spare are fewer than those that a memory map of its arrays takes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.encoders.sparse_vectors import SparseVectors
from service.errors import IndexCorrupt, RetrievalError
from service.retrieval.embedding.embedder import SparseVector

Scores = NDArray[np.float32]
"""Inner products with a query, shape [documents]."""

BYTES_PER_ENTRY = 6

_MAGIC = b"1pSparse"
_HEADER = struct.Struct("<8sQQQ")
_ENTRY = np.dtype([("row", "<u4"), ("term", "<u4"), ("weight", "<f2")])
_BLOCK = 1 << 22
"""Entries inverted at a time."""


class SparseWriter:
    """Takes rows as they come, on the disk at ``spool``; ``finish`` writes the inverted file.

    Memory holds all entries once while that is written, ``BYTES_PER_ENTRY`` for each.
    """

    def __init__(self, spool: Path) -> None:
        self._file = spool.open("w+b")
        self._documents = 0
        self._counts = np.zeros(0, np.int64)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, vectors: SparseVectors) -> None:
        """Append the vectors of the next documents."""
        rows = np.arange(self._documents, self._documents + vectors.rows, dtype=np.uint32)
        entries = np.empty(len(vectors.terms), _ENTRY)
        entries["row"] = np.repeat(rows, np.diff(vectors.starts))
        entries["term"], entries["weight"] = vectors.terms, vectors.weights
        self._file.write(entries.tobytes())
        counts = np.bincount(vectors.terms, minlength=len(self._counts))
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        self._documents += vectors.rows

    def finish(self, path: Path) -> None:
        """Write the inverted file of all that was added."""
        offsets = np.concatenate([[0], np.cumsum(self._counts)]).astype("<i8")
        rows, weights = np.empty(offsets[-1], "<u4"), np.empty(offsets[-1], "<f2")
        free = offsets[:-1].copy()
        for block in self._blocks():
            sorted_ = block[np.argsort(block["term"], kind="stable")]  # so that a term's rows stay rising
            terms = sorted_["term"]
            places = free[terms] + np.arange(len(terms)) - np.searchsorted(terms, terms)
            rows[places], weights[places] = sorted_["row"], sorted_["weight"]
            free += np.bincount(terms, minlength=len(free))
        with path.open("wb") as file:
            file.write(_HEADER.pack(_MAGIC, self._documents, len(self._counts), len(rows)))
            for part in (offsets, rows, weights):
                file.write(part.data)

    def _blocks(self) -> Iterator[NDArray[np.void]]:
        self._file.seek(0)
        while data := self._file.read(_BLOCK * _ENTRY.itemsize):
            yield np.frombuffer(data, _ENTRY)


class SparseIndex:
    """A read-only inverted file, searched from several threads at once."""

    def __init__(self, path: Path) -> None:
        """Map the file into memory. Raises ``IndexCorrupt`` when it is not an inverted file."""
        try:
            data: NDArray[np.uint8] = np.asarray(np.memmap(path, np.uint8, "r"))
        except (OSError, ValueError) as error:  # such as an empty file
            raise IndexCorrupt(f"{path} is not a sparse index: {error}") from error
        if len(data) < _HEADER.size:
            raise IndexCorrupt(f"{path} is not a sparse index: it ends in its header")
        magic, documents, terms, entries = _HEADER.unpack(data[: _HEADER.size].tobytes())
        ends = np.cumsum([_HEADER.size, 8 * (terms + 1), 4 * entries, 2 * entries]).tolist()
        if magic != _MAGIC or ends[-1] != len(data):
            raise IndexCorrupt(f"{path} is not a sparse index: its header does not tell of {len(data)} bytes")
        self.documents = int(documents)
        self._offsets = data[ends[0] : ends[1]].view("<i8")
        self._rows = data[ends[1] : ends[2]].view("<u4")
        self._weights = data[ends[2] :].view("<f2")
        if self._offsets[0] != 0 or self._offsets[-1] != entries or (np.diff(self._offsets) < 0).any():
            raise IndexCorrupt(f"{path} is not a sparse index: its offsets do not rise to {entries}")

    def scores(self, query: SparseVector) -> Scores:
        """The inner product of each document and the query. Raises ``RetrievalError`` where an entry is damaged."""
        scores = np.zeros(self.documents, np.float32)
        known = np.searchsorted(query[0], len(self._offsets) - 1)  # no document holds a term beyond
        try:
            for term, weight in zip(query[0][:known], query[1], strict=False):
                entries = slice(self._offsets[term], self._offsets[term + 1])
                # a seventh of the time of ``scores[rows] += weights``, and right even for rows that come twice
                np.add.at(scores, self._rows[entries], self._weights[entries].astype(np.float32) * weight)
        except IndexError as error:
            raise RetrievalError(f"the sparse index names a document beyond its {self.documents}") from error
        return scores

    def vectors(self, documents: NDArray[np.int64]) -> SparseVectors:
        """The vectors of different documents, from one look at all entries."""
        wanted, numbers = np.zeros(self.documents, np.bool_), np.zeros(self.documents, np.int64)
        wanted[documents], numbers[documents] = True, np.arange(len(documents))
        places = np.flatnonzero(wanted[self._rows])
        rows = numbers[self._rows[places]]
        terms = np.searchsorted(self._offsets, places, side="right") - 1
        order = np.argsort(rows, kind="stable")  # so that a row's terms stay rising
        starts = np.searchsorted(rows[order], np.arange(len(documents) + 1))
        weights = self._weights[places[order]].astype(np.float32)
        return SparseVectors(starts.astype(np.int64), terms[order].astype(np.uint32), weights)


def best(scores: Scores, count: int) -> list[tuple[int, float]]:
    """The documents with the ``count`` greatest positive scores, best first; equal ones in the order of their rows."""
    rows = np.flatnonzero(scores > 0)
    found = scores[rows]
    if len(rows) > count:
        least = np.partition(found, -count)[-count]
        rows, found = rows[found >= least], found[found >= least]
    order = np.argsort(-found, kind="stable")[:count]
    return list(zip(rows[order].tolist(), found[order].tolist(), strict=True))
