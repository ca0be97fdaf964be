"""The pair of encoders that ships, as an embedder: dense vectors of pieces, one learned sparse vector a passage."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np

from service.deadline import Deadline
from service.domain import Document
from service.encoders.encoders import Encoders
from service.encoders.sparse_vectors import SparseVectors
from service.errors import DeadlineExceeded
from service.retrieval.embedding.embedder import PassageVectors, QueryVectors, SparseVector
from service.retrieval.embedding.pieces import pieces


class EncoderEmbedder:
    """Implements ``Embedder`` over ``encoders``, which others may use too: ``close`` ends their threads for all."""

    sparse = True

    def __init__(self, encoders: Encoders) -> None:
        self._encoders = encoders

    @property
    def id(self) -> str:
        """That of the encoders, which ``Evidence`` is checked against."""
        return self._encoders.id

    @property
    def dimension(self) -> int:
        """Length of each dense vector."""
        return self._encoders.dimension

    async def embed_query(self, text: str, deadline: Deadline) -> QueryVectors:
        """Both vectors of a query. Raises ``DeadlineExceeded``."""
        deadline.check("embedding")
        try:
            async with asyncio.timeout(None if math.isinf(deadline.at) else deadline.remaining):
                query = await asyncio.to_thread(self._encoders.query, text)
        except TimeoutError as error:
            raise DeadlineExceeded("the query was not encoded in the time given") from error
        return QueryVectors(query.dense, (query.terms, query.weights))

    async def embed_passages(self, documents: Sequence[Document], deadline: Deadline) -> PassageVectors:
        """All vectors of passages. The deadline is looked at before the first of them. Raises ``DeadlineExceeded``."""
        deadline.check("embedding")
        return await asyncio.to_thread(self._read, documents)

    async def close(self) -> None:
        """End the threads, after the texts they are at."""
        await asyncio.to_thread(self._encoders.close)

    def _read(self, documents: Sequence[Document]) -> PassageVectors:
        cut = pieces(self._encoders, documents)
        texts = [piece for own in cut for piece in own]
        counts = np.array([len(own) for own in cut], np.int64)
        sparse = self._encoders.sparse(texts)
        ends = np.cumsum(counts)
        rows = [_maximum(sparse, int(end - count), int(end)) for end, count in zip(ends, counts, strict=True)]
        return PassageVectors(self._encoders.dense(texts), counts, SparseVectors.joined(rows))


def _maximum(vectors: SparseVectors, first: int, end: int) -> SparseVector:
    """The greatest weight of each term in rows ``first`` to ``end``."""
    chosen = slice(int(vectors.starts[first]), int(vectors.starts[end]))
    terms, places = np.unique(vectors.terms[chosen], return_inverse=True)
    weights = np.zeros(len(terms), np.float32)
    np.maximum.at(weights, places, vectors.weights[chosen])
    return terms, weights
