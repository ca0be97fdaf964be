"""A small corpus, and an encoder made on purpose for tests: known geometry, and it fails when told to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.deadline import Deadline
from service.domain import Candidate, Document, PassageTokens
from service.errors import EmbedderError
from service.retrieval.embedding.embedder import Vectors

FRUIT = (
    Document("a", "An apple is red or green.", title="Apple", metadata={"colour": "red", "weight": 150}),
    Document("b", "A banana is long and yellow.", title="Banana"),
    Document("c", "A cherry is small and red.", title="Cherry"),
    Document("d", "csv.DictReader reads rows of a file into dictionaries.", title="csv.DictReader"),
)

_AXES = ("apple", "banana", "cherry", "dict")


class AxisEmbedder:
    """One axis a word of ``_AXES``, so that nearness can be worked out by hand; not a stand-in for any real encoder."""

    def __init__(self, *, broken: bool = False, version: str = "1") -> None:
        self.broken = broken
        self._version = version

    @property
    def id(self) -> str:
        return f"axes-{self._version}"

    @property
    def dimension(self) -> int:
        return len(_AXES)

    async def embed_queries(self, texts: Sequence[str], deadline: Deadline) -> Vectors:
        if self.broken:
            raise EmbedderError("broken on purpose")
        return self._vectors(texts, deadline)

    async def embed_passages(self, texts: Sequence[str], deadline: Deadline) -> Vectors:
        if self.broken:
            raise EmbedderError("broken on purpose")
        return self._vectors(texts, deadline)

    async def close(self) -> None:
        pass

    def _vectors(self, texts: Sequence[str], deadline: Deadline) -> Vectors:
        deadline.check("embedding")
        counts = np.array([[text.lower().count(word) for word in _AXES] for text in texts], dtype=np.float32) + 0.01
        return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), dtype=np.float32)


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
