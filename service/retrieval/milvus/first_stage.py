"""The first stage over a Milvus collection: vectors and full text, one of them or all fused.

Milvus has a fusion of its own, but one that does not weigh rankings; so each retriever is asked for numbers of
passages, they are fused here as with local files, and only what is left of them is fetched.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymilvus import AsyncMilvusClient

from service.deadline import Deadline
from service.domain import Candidate, Evidence, PassageTokens, RetrievalMode, Retrieved
from service.errors import RetrievalError
from service.observability.spans import span
from service.retrieval import fusion
from service.retrieval.embedding.embedder import Embedder, QueryVectors, Vectors
from service.retrieval.fusion import Found, Scored
from service.retrieval.manifest import Manifest
from service.retrieval.milvus.collection import METRICS, ROW, STORED, document_of, vector_fields, weights_by_term
from service.retrieval.milvus.options import MilvusOptions
from service.retrieval.milvus.server import MilvusServer
from service.retrieval.query_vectors import query_vectors

_WARMING_QUERY, _WARMING_COUNT = "what is new", 10

Entity = Mapping[str, Any]
"""What Milvus holds of a passage."""


class MilvusFirstStage:
    """Implements ``IndexStage``. The server is first asked by ``warm`` or ``retrieve``."""

    def __init__(
        self, name: str, manifest: Manifest, embedder: Embedder, options: MilvusOptions, *, hybrid_embed_timeout: float
    ) -> None:
        """A first stage over the collection that ``manifest`` names. Raises ``IndexIncompatible`` for other vectors."""
        manifest.require_embedder(embedder.id, embedder.dimension)
        self._name = name
        self._manifest = manifest
        self._version = manifest.version
        self._embedder = embedder
        self._server = MilvusServer(options)
        self._hybrid_embed_timeout = hybrid_embed_timeout

    @property
    def name(self) -> str:
        """The index's name, as requests spell it."""
        return self._name

    @property
    def version(self) -> str:
        """A hash of the manifest, which names the collection: no two versions share one."""
        return self._version

    @property
    def manifest(self) -> Manifest:
        """What the index says about itself."""
        return self._manifest

    async def retrieve(
        self, query: str, count: int, mode: RetrievalMode, deadline: Deadline, *, vectors: QueryVectors | None = None
    ) -> Retrieved:
        """At most ``count`` candidates, best first; see ``FirstStage``.

        Scores are Milvus's inner products (dense, sparse) or BM25 (lexical), or weighted sums of reciprocal ranks
        (hybrid). The dense part of evidence is of a passage's first piece.
        """
        started = time.perf_counter()
        degraded = None
        if vectors is None:
            patience = self._hybrid_embed_timeout
            vectors, degraded = await query_vectors(self._embedder, query, mode, deadline, patience)
        embedded = time.perf_counter()

        with span("retrieve", index=self.name, mode=mode.value, count=count):
            found, entities = await self._search(query, vectors, mode, count, deadline)
        candidates = tuple(
            self._candidate(rank, found, entity, vectors) for rank, entity in enumerate(entities, start=1)
        )
        embed_ms, retrieve_ms = (embedded - started) * 1000, (time.perf_counter() - embedded) * 1000
        nearest = None if vectors is None else self._dense(entities)
        return Retrieved(candidates, self._version, embed_ms, retrieve_ms, degraded, nearest)

    async def warm(self) -> None:
        """Search once, but for the query's embedding. Raises ``RetrievalError`` if that fails."""
        dimension = self._manifest.dimension
        sparse = np.zeros(1, np.uint32), np.ones(1, np.float32)
        vectors = QueryVectors(np.full(dimension, dimension**-0.5, dtype=np.float32), sparse)
        await self._search(_WARMING_QUERY, vectors, RetrievalMode.HYBRID, _WARMING_COUNT, Deadline.never())

    async def close(self) -> None:
        """Release the connection."""
        await self._server.close()

    async def _search(
        self, query: str, vectors: QueryVectors | None, mode: RetrievalMode, count: int, deadline: Deadline
    ) -> tuple[Found, Sequence[Entity]]:
        """What is found, and the entity of each passage; ``vectors`` are missing where they are not wanted."""
        wanted, depth = fusion.retrievers(mode, count)
        asked = {each: value for each, value in self._asked(query, vectors).items() if each in wanted}

        async def call(client: AsyncMilvusClient) -> tuple[Found, Sequence[Entity]]:
            rankings = await asyncio.gather(*(self._ranking(client, *each, depth) for each in asked.items()))
            found = fusion.combined(dict(zip(asked, rankings, strict=True)), count)
            return found, await self._entities(client, [row for row, _ in found.rows])

        return await self._server.ask(call, deadline)

    def _asked(self, query: str, vectors: QueryVectors | None) -> dict[RetrievalMode, Any]:
        """What each retriever is asked, as Milvus takes it."""
        asked: dict[RetrievalMode, Any] = {RetrievalMode.LEXICAL: query}
        if vectors is not None:
            asked[RetrievalMode.DENSE] = vectors.dense.tolist()
            if vectors.sparse is not None and self._embedder.sparse:
                asked[RetrievalMode.SPARSE] = weights_by_term(vectors.sparse)
        return asked

    async def _ranking(self, client: AsyncMilvusClient, by: RetrievalMode, asked: Any, depth: int) -> Scored:
        if not asked:  # a query without terms, which Milvus does not take
            return []
        (hits,) = await client.search(
            self._manifest.collection,
            [asked],
            anns_field=by.value,
            search_params={"metric_type": METRICS[by]},
            limit=depth,
            retry_times=0,
        )
        return [(hit[ROW], hit["distance"]) for hit in hits]

    async def _entities(self, client: AsyncMilvusClient, rows: Sequence[int]) -> Sequence[Entity]:
        """The entities of passages in that order. Raises ``RetrievalError`` where one is not there."""
        if not rows:
            return []
        fields = [*STORED, *(mode.value for mode in vector_fields(self._embedder) if mode is not RetrievalMode.LEXICAL)]
        fetched = await client.get(self._manifest.collection, ids=rows, output_fields=fields, retry_times=0)
        by_row = {entity[ROW]: entity for entity in fetched}
        if len(by_row) < len(rows):
            raise RetrievalError(f"Milvus lacks passages of {self._manifest.collection} that it found")
        return [by_row[row] for row in rows]

    def _candidate(self, rank: int, found: Found, entity: Entity, vectors: QueryVectors | None) -> Candidate:
        row, score = found.rows[rank - 1]
        document, ids = document_of(entity)
        encoding = self._manifest.encoding
        tokens = None if ids is None or encoding is None else PassageTokens(encoding, ids)
        evidence = None if vectors is None else self._evidence(entity, vectors, found.bm25.get(row, 0.0))
        return Candidate(document, rank, score, tokens, fused=found.behind(score), evidence=evidence)

    def _evidence(self, entity: Entity, vectors: QueryVectors, bm25: float) -> Evidence:
        held: Mapping[int, float] = entity.get(RetrievalMode.SPARSE.value, {})
        terms = {} if vectors.sparse is None else weights_by_term(vectors.sparse)
        cosine = float(self._dense([entity])[0] @ vectors.dense)
        product = sum(weight * held.get(term, 0.0) for term, weight in terms.items())
        return Evidence(self._manifest.embedder, cosine, product, bm25)

    def _dense(self, entities: Sequence[Entity]) -> Vectors:
        """The dense vectors of entities, shape [entities, dimension]."""
        vectors = [entity[RetrievalMode.DENSE.value] for entity in entities]
        return np.array(vectors, np.float32).reshape(len(entities), self._manifest.dimension)
