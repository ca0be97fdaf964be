"""The first stage over an index folder of this machine: FAISS and SQLite's full text, alone or fused."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.deadline import Deadline
from service.domain import Candidate, PassageTokens, RetrievalMode, Retrieved
from service.errors import IndexCorrupt, RetrievalError
from service.observability.spans import span
from service.retrieval import faiss_index, index_store, lexical
from service.retrieval.document_store import DocumentReader
from service.retrieval.embedding.embedder import Embedder, Vectors
from service.retrieval.faiss_index import FaissIndex
from service.retrieval.fusion import HALVES, reciprocal_rank_fusion, told_by
from service.retrieval.manifest import Manifest
from service.retrieval.milvus.options import MilvusOptions
from service.retrieval.query_vector import query_vector
from service.retrieval.workers import Workers

FUSION_DEPTH = 100
"""How many of each half a hybrid fuses."""

_STEPS_BETWEEN_CLOCK_READS = 20_000
_WARMING_QUERY, _WARMING_COUNT = "what is new", 10


@dataclass(frozen=True, slots=True)
class Options:
    """How an index is opened and searched.

    ``threads`` bounds the searches that run at once. ``checksums=False`` spares reading a huge index in full when it is
    opened. ``hybrid_embed_timeout`` is how many seconds a hybrid waits for its query vector, at most half of the time
    left, before it goes on without the dense half. ``milvus`` is where the passages of indexes without files are.
    """

    threads: int = 4
    checksums: bool = True
    gpu: bool = False
    hybrid_embed_timeout: float = 1.0
    milvus: MilvusOptions | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """What is searched for. ``vector``, shape [dimension], is missing where the dense half is not wanted or failed."""

    text: str
    vector: Vectors | None
    mode: RetrievalMode
    count: int

    @property
    def fused(self) -> bool:
        """Whether both halves are searched."""
        return self.vector is not None and self.mode is not RetrievalMode.DENSE


class LocalFirstStage:
    """Implements ``FirstStage``; made by ``open``."""

    def __init__(
        self,
        name: str,
        manifest: Manifest,
        embedder: Embedder,
        index: FaissIndex,
        readers: Sequence[DocumentReader],
        options: Options,
    ) -> None:
        self._name = name
        self._manifest = manifest
        self._version = manifest.version  # made by hashing all of the manifest: once is enough
        self._embedder = embedder
        self._index = index
        self._readers = readers
        self._options = options
        self._workers = Workers(readers, f"retrieval-{name}", faiss_index.use_one_thread)

    @classmethod
    def open(
        cls, folder: Path, embedder: Embedder, *, name: str | None = None, options: Options | None = None
    ) -> LocalFirstStage:
        """Open the current version of an index, named after its folder unless told otherwise.

        Every file is opened here, so that replacing the index later does not disturb this stage.

        Raises:
            IndexMissing, IndexCorrupt: as they say.
            IndexIncompatible: another format, or vectors of another embedder.
            ConfigurationError: a GPU is asked for that cannot be used.
        """
        options = options or Options()
        version = index_store.current_version(folder)
        manifest = index_store.read_manifest(version)
        manifest.require_embedder(embedder.id, embedder.dimension)
        index_store.verify(version, manifest, checksums=options.checksums)
        index = FaissIndex(version / index_store.VECTORS, gpu=options.gpu)
        if (index.count, index.dimension) != (manifest.documents, manifest.dimension):
            raise IndexCorrupt(
                f"{version} promises {manifest.documents} vectors of {manifest.dimension} dimensions,"
                f" FAISS holds {index.count} of {index.dimension}"
            )
        readers = _open_readers(version / index_store.DOCUMENTS, options.threads, manifest.documents)
        return cls(name or folder.name, manifest, embedder, index, readers, options)

    @property
    def name(self) -> str:
        """The index's name, as requests spell it."""
        return self._name

    @property
    def version(self) -> str:
        """A hash of the index's contents."""
        return self._version

    @property
    def manifest(self) -> Manifest:
        """What the index says about itself."""
        return self._manifest

    async def retrieve(
        self, query: str, count: int, mode: RetrievalMode, deadline: Deadline, *, vector: Vectors | None = None
    ) -> Retrieved:
        """At most ``count`` candidates, best first; see ``FirstStage``.

        Scores are inner products (dense), BM25 (lexical) or sums of reciprocal ranks (hybrid).
        """
        started = time.perf_counter()
        degraded = None
        if vector is None:
            patience = self._options.hybrid_embed_timeout
            vector, degraded = await query_vector(self._embedder, query, mode, deadline, patience)
        embedded = time.perf_counter()

        question = _Question(query, vector, mode, count)
        with span("retrieve", index=self._name, mode=mode.value, count=count):
            candidates = await self._workers.run(lambda reader: self._search(reader, question, deadline), deadline)
        embed_ms, retrieve_ms = (embedded - started) * 1000, (time.perf_counter() - embedded) * 1000
        return Retrieved(candidates, self._version, embed_ms, retrieve_ms, degraded)

    async def warm(self) -> None:
        """Run a whole search, but for the query's embedding, on every thread. Raises ``RetrievalError`` if it fails."""
        dimension, never = self._manifest.dimension, Deadline.never()
        vector = np.full(dimension, dimension**-0.5, dtype=np.float32)
        question = _Question(_WARMING_QUERY, vector, RetrievalMode.HYBRID, _WARMING_COUNT)

        def search(reader: DocumentReader) -> None:
            self._search(reader, question, never)

        await asyncio.gather(*(self._workers.run(search, never) for _ in self._readers))

    async def close(self) -> None:
        """Release files and threads, after the searches under way."""
        await asyncio.to_thread(self._workers.close)
        for reader in self._readers:
            reader.close()

    def _search(self, reader: DocumentReader, question: _Question, deadline: Deadline) -> tuple[Candidate, ...]:
        """The whole of a search, on a worker's thread."""
        reader.connection.set_progress_handler(lambda: deadline.expired, _STEPS_BETWEEN_CLOCK_READS)
        try:
            return self._hydrate(reader, self._find(reader, question), fused=question.fused)
        except (sqlite3.Error, KeyError) as error:
            deadline.check("retrieval")
            raise RetrievalError(f"the index {self._name} failed: {error!r}") from error

    def _find(self, reader: DocumentReader, question: _Question) -> list[tuple[int, float]]:
        """Row numbers with scores, best first."""
        text, vector, count = question.text, question.vector, question.count
        if vector is None:
            return lexical.search(reader.connection, text, count)
        if question.mode is RetrievalMode.DENSE:
            return self._index.search(vector, count)
        depth = max(count, FUSION_DEPTH)
        halves = (self._index.search(vector, depth), lexical.search(reader.connection, text, depth))
        rankings = [[row for row, _ in half] for half in halves]
        return reciprocal_rank_fusion(rankings, HALVES)[:count]

    def _hydrate(
        self, reader: DocumentReader, found: Sequence[tuple[int, float]], *, fused: bool
    ) -> tuple[Candidate, ...]:
        stored = reader.fetch([row for row, _ in found])
        candidates = []
        for rank, (row, score) in enumerate(found, start=1):
            document, ids = stored[row]
            encoding = self._manifest.encoding
            tokens = None if ids is None or encoding is None else PassageTokens(encoding, ids)
            behind = told_by(score, HALVES) if fused else None
            candidates.append(Candidate(document, rank, score, tokens, fused=behind))
        return tuple(candidates)


def _open_readers(path: Path, threads: int, documents: int) -> list[DocumentReader]:
    """A connection for each thread. Raises ``IndexCorrupt`` if the file does not hold so many documents."""
    with ExitStack() as opened:  # closes those already open when a later one fails
        readers = [opened.enter_context(closing(DocumentReader(path))) for _ in range(threads)]
        held = readers[0].count
        if held != documents:
            raise IndexCorrupt(f"{path} holds {held} documents, the manifest promises {documents}")
        opened.pop_all()
        return readers
