"""A small corpus, and an encoder made on purpose for tests: known geometry, and it fails when told to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.deadline import Deadline
from service.domain import Candidate, Document, PassageTokens
from service.encoders.sparse_vectors import SparseVectors
from service.errors import EmbedderError
from service.retrieval.embedding.embedder import PassageVectors, QueryVectors, SparseVector, passage_text

FRUIT = (
    Document("a", "An apple is red or green.", title="Apple", metadata={"colour": "red", "weight": 150}),
    Document("b", "A banana is long and yellow.", title="Banana"),
    Document("c", "A cherry is small and red.", title="Cherry"),
    Document("d", "csv.DictReader reads rows of a file into dictionaries.", title="csv.DictReader"),
)

_AXES = ("apple", "banana", "cherry", "dict")


class AxisEmbedder:
    """One axis a word of ``_AXES``, so that nearness can be worked out by hand; not a stand-in for any real encoder.

    Each line of a passage is a piece, and a term's weight is how often the passage has its word.
    """

    def __init__(self, *, broken: bool = False, version: str = "1", sparse: bool = True) -> None:
        self.broken = broken
        self.sparse = sparse
        self._version = version

    @property
    def id(self) -> str:
        return f"axes-{self._version}" if self.sparse else f"dense-axes-{self._version}"

    @property
    def dimension(self) -> int:
        return len(_AXES)

    async def embed_query(self, text: str, deadline: Deadline) -> QueryVectors:
        self._check(deadline)
        return QueryVectors(_unit(_counts(text)), _terms(_counts(text)) if self.sparse else None)

    async def embed_passages(self, documents: Sequence[Document], deadline: Deadline) -> PassageVectors:
        self._check(deadline)
        texts = [passage_text(document) for document in documents]
        pieces = [text.split("\n") for text in texts]
        return PassageVectors(
            np.stack([_unit(_counts(piece)) for own in pieces for piece in own]),
            np.array([len(own) for own in pieces]),
            SparseVectors.joined([_terms(_counts(text)) for text in texts]) if self.sparse else None,
        )

    async def close(self) -> None:
        pass

    def _check(self, deadline: Deadline) -> None:
        if self.broken:
            raise EmbedderError("broken on purpose")
        deadline.check("embedding")


def _counts(text: str) -> NDArray[np.float32]:
    return np.array([text.lower().count(word) for word in _AXES], dtype=np.float32)


def _unit(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((counts + 0.01) / np.linalg.norm(counts + 0.01), dtype=np.float32)


def _terms(counts: NDArray[np.float32]) -> SparseVector:
    terms = np.flatnonzero(counts).astype(np.uint32)
    return terms, counts[terms]


class LetterEncoder:
    """A passage's tokens are its characters' code points: easy to check, and beyond 16 bits if the text is."""

    encoding = "letters-1"

    def encode(self, documents: Sequence[Document]) -> list[PassageTokens]:
        return [
            PassageTokens(self.encoding, np.array([ord(c) for c in document.text], dtype=np.uint32))
            for document in documents
        ]


def ids(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.document.id for candidate in candidates]
