"""The first stage over an index folder of this machine: vectors and SQLite's full text, one of them or all fused.

Each candidate comes with its ``Evidence`` where the query has vectors, whichever retriever found it.
"""

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
from service.domain import Candidate, Evidence, PassageTokens, RetrievalMode, Retrieved
from service.errors import IndexCorrupt, RetrievalError
from service.observability.spans import span
from service.retrieval import faiss_index, fusion, index_store, lexical, sparse_index
from service.retrieval.document_store import DocumentReader
from service.retrieval.embedding.embedder import Embedder, QueryVectors, Vectors
from service.retrieval.fusion import Found, Scored
from service.retrieval.manifest import Manifest
from service.retrieval.milvus.options import MilvusOptions
from service.retrieval.query_vectors import query_vectors
from service.retrieval.sparse_index import Scores
from service.retrieval.vector_reader import VectorReader
from service.retrieval.workers import Workers

_STEPS_BETWEEN_CLOCK_READS = 20_000
_WARMING_QUERY, _WARMING_COUNT, _WARMING_TERMS = "what is new", 10, 20


@dataclass(frozen=True, slots=True)
class Options:
    """How an index is opened and searched.

    ``threads`` bounds the searches that run at once. ``checksums=False`` spares reading a huge index in full when it is
    opened. ``hybrid_embed_timeout`` is how many seconds a hybrid waits for its query vector, at most half of the time
    left, before it goes on without vectors. ``milvus`` is where the passages of indexes without files are.
    """

    threads: int = 4
    checksums: bool = True
    gpu: bool = False
    hybrid_embed_timeout: float = 1.0
    milvus: MilvusOptions | None = None


@dataclass(frozen=True, slots=True)
class _Question:
    """What is searched for. ``vectors`` are missing where they are not wanted or the embedder failed."""

    text: str
    vectors: QueryVectors | None
    mode: RetrievalMode
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class _Matches:
    """How well documents match the query: each one's nearest piece, shape [documents, dimension], and evidence."""

    pieces: Vectors
    evidence: Sequence[Evidence]


class LocalFirstStage:
    """Implements ``FirstStage``; made by ``open``."""

    def __init__(
        self,
        name: str,
        manifest: Manifest,
        embedder: Embedder,
        vectors: VectorReader,
        readers: Sequence[DocumentReader],
        options: Options,
    ) -> None:
        self._name = name
        self._manifest = manifest
        self._version = manifest.version  # made by hashing all of the manifest: once is enough
        self._embedder = embedder
        self._vectors = vectors
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
        vectors = VectorReader(version, manifest, gpu=options.gpu)
        readers = _open_readers(version / index_store.DOCUMENTS, options.threads, manifest.documents)
        return cls(name or folder.name, manifest, embedder, vectors, readers, options)

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
        self, query: str, count: int, mode: RetrievalMode, deadline: Deadline, *, vectors: QueryVectors | None = None
    ) -> Retrieved:
        """At most ``count`` candidates, best first; see ``FirstStage``.

        Scores are inner products (dense, sparse), BM25 (lexical) or weighted sums of reciprocal ranks (hybrid).
        """
        started = time.perf_counter()
        degraded = None
        if vectors is None:
            patience = self._options.hybrid_embed_timeout
            vectors, degraded = await query_vectors(self._embedder, query, mode, deadline, patience)
        embedded = time.perf_counter()

        question = _Question(query, vectors, mode, count)
        with span("retrieve", index=self._name, mode=mode.value, count=count):
            candidates, pieces = await self._workers.run(
                lambda reader: self._search(reader, question, deadline), deadline
            )
        embed_ms, retrieve_ms = (embedded - started) * 1000, (time.perf_counter() - embedded) * 1000
        return Retrieved(candidates, self._version, embed_ms, retrieve_ms, degraded, pieces)

    async def warm(self) -> None:
        """Run a whole search, but for the query's embedding, on every thread. Raises ``RetrievalError`` if it fails."""
        dimension, never = self._manifest.dimension, Deadline.never()
        dense = np.full(dimension, dimension**-0.5, dtype=np.float32)
        sparse = np.arange(_WARMING_TERMS, dtype=np.uint32), np.ones(_WARMING_TERMS, dtype=np.float32)
        question = _Question(_WARMING_QUERY, QueryVectors(dense, sparse), RetrievalMode.HYBRID, _WARMING_COUNT)

        def search(reader: DocumentReader) -> None:
            self._search(reader, question, never)

        await asyncio.gather(*(self._workers.run(search, never) for _ in self._readers))

    async def close(self) -> None:
        """Release files and threads, after the searches under way."""
        await asyncio.to_thread(self._workers.close)
        for reader in self._readers:
            reader.close()

    def _search(
        self, reader: DocumentReader, question: _Question, deadline: Deadline
    ) -> tuple[tuple[Candidate, ...], Vectors | None]:
        """The whole of a search, on a worker's thread; also the vectors that ``Retrieved`` holds."""
        reader.connection.set_progress_handler(lambda: deadline.expired, _STEPS_BETWEEN_CLOCK_READS)
        sparse = self._sparse_scores(question.vectors)
        try:
            found = self._find(reader, question, sparse)
            matches = self._matches(found, question.vectors, sparse)
            candidates = self._hydrate(reader, found, matches)
        except (sqlite3.Error, KeyError) as error:
            deadline.check("retrieval")
            raise RetrievalError(f"the index {self._name} failed: {error!r}") from error
        return candidates, None if matches is None else matches.pieces

    def _sparse_scores(self, vectors: QueryVectors | None) -> Scores | None:
        if vectors is None or vectors.sparse is None or self._vectors.sparse is None:
            return None
        return self._vectors.sparse.scores(vectors.sparse)

    def _find(self, reader: DocumentReader, question: _Question, sparse: Scores | None) -> Found:
        wanted, depth = fusion.retrievers(question.mode, question.count)
        rankings: dict[RetrievalMode, Scored] = {}
        if question.vectors is not None and RetrievalMode.DENSE in wanted:
            rankings[RetrievalMode.DENSE] = self._vectors.dense.search(question.vectors.dense, depth)
        if sparse is not None and RetrievalMode.SPARSE in wanted:
            rankings[RetrievalMode.SPARSE] = sparse_index.best(sparse, depth)
        if RetrievalMode.LEXICAL in wanted:
            rankings[RetrievalMode.LEXICAL] = lexical.search(reader.connection, question.text, depth)
        return fusion.combined(rankings, question.count)

    def _matches(self, found: Found, vectors: QueryVectors | None, sparse: Scores | None) -> _Matches | None:
        if vectors is None:
            return None
        rows = [row for row, _ in found.rows]
        chosen = np.array(rows, np.int64)
        pieces = self._vectors.dense.nearest_pieces(vectors.dense, chosen)
        cosines = (pieces @ vectors.dense).tolist()
        products = [0.0] * len(rows) if sparse is None else sparse[chosen].tolist()
        bm25 = [found.bm25.get(row, 0.0) for row in rows]
        name = self._manifest.embedder
        return _Matches(pieces, [Evidence(name, *all_) for all_ in zip(cosines, products, bm25, strict=True)])

    def _hydrate(self, reader: DocumentReader, found: Found, matches: _Matches | None) -> tuple[Candidate, ...]:
        stored = reader.fetch([row for row, _ in found.rows])
        candidates = []
        for rank, (row, score) in enumerate(found.rows, start=1):
            document, ids = stored[row]
            encoding = self._manifest.encoding
            tokens = None if ids is None or encoding is None else PassageTokens(encoding, ids)
            evidence = None if matches is None else matches.evidence[rank - 1]
            candidates.append(Candidate(document, rank, score, tokens, fused=found.behind(score), evidence=evidence))
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
