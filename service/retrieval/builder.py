"""A stream of documents in, an index folder out. Memory holds one batch and, at the end, what the indexes need.

``build_index`` makes an index of new documents; ``publish_batches`` is what it shares with ``index_writer.py``, which
makes the next version of an index that is there. What is computed is spooled (``spool.py``): a build that was
interrupted is continued by the next one. A document whose title and text the version in use has keeps its vectors.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from service.deadline import Deadline
from service.domain import Document, PassageTokens, TokenIds
from service.errors import EmbedderError, InvalidInput
from service.retrieval import index_store
from service.retrieval.document_store import DocumentWriter, cleaned
from service.retrieval.embedding.embedder import Embed, Embedder, PassageVectors
from service.retrieval.manifest import Manifest
from service.retrieval.previous import reusing
from service.retrieval.spool import spooled
from service.retrieval.vector_writer import VectorWriter

Progress = Callable[[int, int | None], None]
"""Called after each batch with the documents done and, where it is known, how many there are."""

_NEVER = Deadline.never()


class PassageEncoder(Protocol):
    """Tokenises passages once, at build time, in a reranker's own tokens."""

    @property
    def encoding(self) -> str:
        """Fingerprint of tokenizer, rules and budget."""

    def encode(self, documents: Sequence[Document]) -> list[PassageTokens]:
        """Token ids of each document."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents with all that is stored of them."""

    documents: Sequence[Document]
    tokens: Sequence[TokenIds | None]
    vectors: PassageVectors


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes a batch of documents: the embedder, and the encoder if tokens are stored."""

    embedder: Embedder
    encoder: PassageEncoder | None = None

    @property
    def encoding(self) -> str | None:
        """What the stored tokens are of, if there are any."""
        return None if self.encoder is None else self.encoder.encoding

    def tokens(self, documents: Sequence[Document]) -> list[TokenIds | None]:
        """The reranker tokens of each document."""
        if self.encoder is None:
            return [None] * len(documents)
        return [tokens.ids for tokens in self.encoder.encode(documents)]

    async def vectors(self, documents: Sequence[Document]) -> PassageVectors:
        """The vectors of documents. Raises ``EmbedderError`` unless they are what the embedder promises."""
        embedder = self.embedder
        vectors = await embedder.embed_passages(documents, _NEVER)
        dense, pieces, sparse = vectors.dense, vectors.pieces, vectors.sparse
        if dense.shape != (pieces.sum(), embedder.dimension) or not np.isfinite(dense).all():
            raise EmbedderError(f"{embedder.id} gave vectors of shape {dense.shape}, or values that are not finite")
        rows = len(documents) if sparse is None else sparse.rows
        if not len(pieces) == len(documents) == rows or (pieces < 1).any() or (sparse is None) == embedder.sparse:
            raise EmbedderError(f"{embedder.id} did not give the vectors of {len(documents)} passages")
        return vectors


async def build_index(
    folder: Path,
    documents: Iterable[Document],
    embedder: Embedder,
    *,
    encoder: PassageEncoder | None = None,
    factory: str | None = None,
    total: int | None = None,
    progress: Progress | None = None,
    batch_size: int = 256,
) -> Manifest:
    """Build an index at ``folder``, replacing the one that is there only when the new one is complete and on disk.

    It reads, tokenises and writes on the calling thread: made for a command, not for a serving event loop.

    Args:
        folder: the index's folder, made if it is missing.
        documents: read once, in order; text that no encoding carries is repaired as ``cleaned`` says.
        embedder: its id is kept, and asked for again when the index is opened.
        encoder: if given, every document's reranker tokens are stored beside it.
        factory: a FAISS factory string; by default the kind follows the number of documents.
        total: how many documents there are, for ``progress``.
        progress: called after each batch.
        batch_size: documents embedded, spooled and written at a time.

    Raises:
        InvalidInput: no document, a repeated or unusable id, metadata that is not JSON.
        EmbedderError: the encoder gave no usable vectors.
        ConfigurationError: the factory string does not suit the vectors.
        IndexFolderError: the folder is something else's, another build or change is at work in it, or the disk is full.
    """
    recipe = Recipe(embedder, encoder)
    numbered = (cleaned(document, row) for row, document in enumerate(documents))
    with (
        index_store.locked(folder),
        spooled(folder, embedder, recipe.vectors) as spool,
        reusing(folder, embedder, spool) as embed,
    ):
        made = batches(numbered, recipe, batch_size, embed)
        return await publish_batches(folder, made, recipe, factory=factory, total=total, progress=progress)


async def batches(documents: Iterable[Document], recipe: Recipe, size: int, embed: Embed) -> AsyncIterator[Batch]:
    """Batches of so many documents, which are already cleaned, with the vectors that ``embed`` gives."""
    for some in _chunks(documents, size):
        yield Batch(some, recipe.tokens(some), await embed(some))


async def publish_batches(
    folder: Path,
    made: AsyncIterable[Batch],
    recipe: Recipe,
    *,
    factory: str | None = None,
    total: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Write a version of batches and make it the current one; for who has the index's lock. See ``build_index``."""
    with index_store.new_version(folder) as version:
        with (
            DocumentWriter(version / index_store.DOCUMENTS) as writer,
            VectorWriter(version, recipe.embedder) as vectors,
        ):
            async for batch in made:
                writer.add(batch.documents, batch.tokens)
                vectors.add(batch.vectors)
                if progress is not None:
                    progress(writer.count, total)
            if writer.count == 0:
                raise InvalidInput("an index needs at least one document", field="documents")
            writer.finish()
            chosen = vectors.finish(factory)
        manifest = Manifest(
            embedder=recipe.embedder.id,
            dimension=recipe.embedder.dimension,
            factory=chosen,
            documents=writer.count,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            files=index_store.record_files(version),
            encoding=recipe.encoding,
        )
        index_store.publish(folder, version, manifest)
        return manifest


def _chunks(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    remaining = iter(documents)
    while some := list(islice(remaining, size)):
        yield some
