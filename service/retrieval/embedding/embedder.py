"""What retrieval knows of a text encoder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.deadline import Deadline
from service.domain import Document
from service.encoders.sparse_vectors import SparseVectors

Vectors = NDArray[np.float32]
"""Unit-length embeddings, shape [texts, dimension]."""

SparseVector = tuple[NDArray[np.uint32], NDArray[np.float32]]
"""Vocabulary entries, rising, and the positive weight of each."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryVectors:
    """A query as an embedder reads it: ``dense`` has shape [dimension] and unit length.

    ``sparse`` is missing where the embedder gives no sparse vectors.
    """

    dense: Vectors
    sparse: SparseVector | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PassageVectors:
    """Passages as an embedder reads them: a dense vector for each piece of a passage, one sparse vector for all of it.

    ``dense`` has shape [pieces of all passages, dimension], in order. ``pieces``, int64 [passages], says how many of
    them belong to each passage, at least one. ``sparse`` has a row a passage; it is missing where the embedder gives no
    sparse vectors.
    """

    dense: Vectors
    pieces: NDArray[np.int64]
    sparse: SparseVectors | None = None

    @classmethod
    def whole(cls, dense: Vectors) -> PassageVectors:
        """Of passages that are one piece each."""
        return cls(dense, np.ones(len(dense), np.int64))

    @classmethod
    def joined(cls, parts: Sequence[PassageVectors]) -> PassageVectors:
        """Those of several values, of which there is at least one."""
        sparse = [part.sparse.row(row) for part in parts if part.sparse for row in range(part.sparse.rows)]
        return cls(
            np.concatenate([part.dense for part in parts]),
            np.concatenate([part.pieces for part in parts]),
            None if parts[0].sparse is None else SparseVectors.joined(sparse),
        )

    def each(self) -> list[PassageVectors]:
        """Those of each passage by itself."""
        ends = np.cumsum(self.pieces)
        return [
            PassageVectors(
                self.dense[end - count : end],
                self.pieces[place : place + 1],
                None if self.sparse is None else SparseVectors.joined([self.sparse.row(place)]),
            )
            for place, (end, count) in enumerate(zip(ends, self.pieces, strict=True))
        ]


Embed = Callable[[Sequence[Document]], Awaitable[PassageVectors]]
"""Makes the vectors of documents, at least one."""


def passage_text(document: Document) -> str:
    """What the embedder reads of a document."""
    return f"{document.title} {document.text}".strip()


class Embedder(Protocol):
    """Turns texts into vectors whose inner product is their similarity."""

    @property
    def id(self) -> str:
        """Names the encoder and its weights: vectors of different ids are never compared."""

    @property
    def dimension(self) -> int:
        """Length of each dense vector."""

    @property
    def sparse(self) -> bool:
        """Whether it gives sparse vectors too."""

    async def embed_query(self, text: str, deadline: Deadline) -> QueryVectors:
        """Vectors of a query. Raises ``EmbedderError`` or ``DeadlineExceeded``."""

    async def embed_passages(self, documents: Sequence[Document], deadline: Deadline) -> PassageVectors:
        """Vectors of passages, at least one. Raises ``EmbedderError`` or ``DeadlineExceeded``."""

    async def close(self) -> None:
        """Release connections and threads."""
