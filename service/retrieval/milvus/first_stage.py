"""The first stage over a Milvus collection: vectors and full text, fused by Milvus itself."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymilvus import AnnSearchRequest, AsyncMilvusClient, RRFRanker

from service.deadline import Deadline
from service.domain import Candidate, PassageTokens, RetrievalMode, Retrieved
from service.observability.spans import span
from service.retrieval.embedding.embedder import Embedder, Vectors
from service.retrieval.fusion import HALVES, RRF_K, told_by
from service.retrieval.local_first_stage import FUSION_DEPTH
from service.retrieval.manifest import Manifest
from service.retrieval.milvus.collection import DENSE, DENSE_METRIC, SPARSE, SPARSE_METRIC, STORED, document_of
from service.retrieval.milvus.options import MilvusOptions
from service.retrieval.milvus.server import MilvusServer
from service.retrieval.query_vector import query_vector

_WARMING_QUERY, _WARMING_COUNT = "what is new", 10

Hits = Sequence[Mapping[str, Any]]
"""What Milvus found, best first."""


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
        self, query: str, count: int, mode: RetrievalMode, deadline: Deadline, *, vector: Vectors | None = None
    ) -> Retrieved:
        """At most ``count`` candidates, best first; see ``FirstStage``.

        Scores are Milvus's: inner products (dense), BM25 (lexical) or sums of reciprocal ranks (hybrid).
        """
        started = time.perf_counter()
        degraded = None
        if vector is None:
            vector, degraded = await query_vector(self._embedder, query, mode, deadline, self._hybrid_embed_timeout)
        embedded = time.perf_counter()

        with span("retrieve", index=self.name, mode=mode.value, count=count):
            hits = await self._search(query, vector, mode, count, deadline)
        fused = vector is not None and mode is not RetrievalMode.DENSE
        candidates = tuple(self._candidate(rank, hit, fused=fused) for rank, hit in enumerate(hits, start=1))
        embed_ms, retrieve_ms = (embedded - started) * 1000, (time.perf_counter() - embedded) * 1000
        return Retrieved(candidates, self._version, embed_ms, retrieve_ms, degraded)

    async def warm(self) -> None:
        """Search once, but for the query's embedding. Raises ``RetrievalError`` if that fails."""
        dimension = self._manifest.dimension
        vector = np.full(dimension, dimension**-0.5, dtype=np.float32)
        await self._search(_WARMING_QUERY, vector, RetrievalMode.HYBRID, _WARMING_COUNT, Deadline.never())

    async def close(self) -> None:
        """Release the connection."""
        await self._server.close()

    async def _search(
        self, query: str, vector: Vectors | None, mode: RetrievalMode, count: int, deadline: Deadline
    ) -> Hits:
        """At most ``count`` hits; ``vector``, shape [dimension], is missing where the dense half is not wanted."""
        collection, common = self._manifest.collection, {"output_fields": STORED, "retry_times": 0}
        depth = max(count, FUSION_DEPTH)
        halves = []
        if vector is not None:
            halves.append(AnnSearchRequest([vector.tolist()], DENSE, {"metric_type": DENSE_METRIC}, depth))
        if mode is not RetrievalMode.DENSE:
            halves.append(AnnSearchRequest([query], SPARSE, {"metric_type": SPARSE_METRIC}, depth))

        async def call(client: AsyncMilvusClient) -> Hits:
            if len(halves) == 1:  # whose scores are then its own
                (half,) = halves
                found = await client.search(collection, half.data, anns_field=half.anns_field, limit=count, **common)
            else:
                found = await client.hybrid_search(collection, halves, RRFRanker(RRF_K), limit=count, **common)
            hits: Hits = found[0]
            return hits

        return await self._server.ask(call, deadline)

    def _candidate(self, rank: int, hit: Mapping[str, Any], *, fused: bool) -> Candidate:
        document, ids = document_of(hit["entity"])
        encoding = self._manifest.encoding
        tokens = None if ids is None or encoding is None else PassageTokens(encoding, ids)
        behind = told_by(hit["distance"], HALVES) if fused else None
        return Candidate(document, rank, hit["distance"], tokens, fused=behind)
