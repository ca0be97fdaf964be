"""What retrieval knows of a text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.deadline import Deadline
from service.domain import Document

Vectors = NDArray[np.float32]
"""Unit-length embeddings, shape [texts, dimension]."""


def passage_text(document: Document) -> str:
    """What the embedder reads of a document."""
    return f"{document.title} {document.text}".strip()


class Embedder(Protocol):
    """Turns texts into unit vectors whose inner product is their similarity."""

    @property
    def id(self) -> str:
        """Names the encoder and its weights: vectors of different ids are never compared."""

    @property
    def dimension(self) -> int:
        """Length of each vector."""

    async def embed_queries(self, texts: Sequence[str], deadline: Deadline) -> Vectors:
        """Vectors of queries, shape [texts, dimension]. Raises ``EmbedderError`` or ``DeadlineExceeded``."""

    async def embed_passages(self, texts: Sequence[str], deadline: Deadline) -> Vectors:
        """Vectors of passages, shape [texts, dimension]. Raises ``EmbedderError`` or ``DeadlineExceeded``."""

    async def close(self) -> None:
        """Release connections."""
