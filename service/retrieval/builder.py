"""A stream of documents in, an index folder out. Memory holds one batch and, at the end, what FAISS needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from service.deadline import Deadline
from service.domain import Document, PassageTokens, TokenIds
from service.errors import EmbedderError, InvalidInput
from service.retrieval import faiss_index, index_store
from service.retrieval.document_store import DocumentWriter, cleaned
from service.retrieval.embedding.embedder import Embedder, Vectors
from service.retrieval.manifest import Manifest

Progress = Callable[[int, int | None], None]
"""Called after each batch with the documents done and, where it is known, how many there are."""

_SPOOL = "vectors.f32"


class PassageEncoder(Protocol):
    """Tokenises passages once, at build time, in a reranker's own tokens."""

    @property
    def encoding(self) -> str:
        """Fingerprint of tokenizer, rules and budget."""

    def encode(self, documents: Sequence[Document]) -> list[PassageTokens]:
        """Token ids of each document."""


def passage_text(document: Document) -> str:
    """What the embedder reads of a document."""
    return f"{document.title} {document.text}".strip()


async def build_index(
    folder: Path,
    documents: Iterable[Document],
    embedder: Embedder,
    *,
    encoder: PassageEncoder | None = None,
    factory: str | None = None,
    total: int | None = None,
    progress: Progress | None = None,
    batch_size: int = 1024,
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
        batch_size: documents embedded and written at a time.

    Raises:
        InvalidInput: no document, a repeated or unusable id, metadata that is not JSON.
        EmbedderError: the encoder gave no usable vectors.
        ConfigurationError: the factory string does not suit the vectors.
        IndexFolderError: the folder is something else's, or another build is at work in it.
    """
    with index_store.new_version(folder) as version:
        spool = version / _SPOOL
        with DocumentWriter(version / index_store.DOCUMENTS) as writer, spool.open("wb") as vectors:
            for batch in _batches(documents, batch_size):
                writer.add(batch, _tokens(encoder, batch))
                await _embed(embedder, batch, vectors)
                if progress is not None:
                    progress(writer.count, total)
            writer.finish()
            count = writer.count
        if count == 0:
            raise InvalidInput("an index needs at least one document", field="documents")
        chosen = factory or faiss_index.choose_factory(count)
        mapped = np.memmap(spool, dtype=np.float32, mode="r", shape=(count, embedder.dimension))
        faiss_index.build(mapped, chosen, version / index_store.VECTORS)
        spool.unlink()
        manifest = Manifest(
            embedder=embedder.id,
            dimension=embedder.dimension,
            factory=chosen,
            documents=count,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            files=index_store.record_files(version),
            encoding=None if encoder is None else encoder.encoding,
        )
        index_store.publish(folder, version, manifest)
        return manifest


def _batches(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    numbered = (cleaned(document, row) for row, document in enumerate(documents))
    while batch := list(islice(numbered, size)):
        yield batch


def _tokens(encoder: PassageEncoder | None, batch: Sequence[Document]) -> list[TokenIds | None]:
    if encoder is None:
        return [None] * len(batch)
    return [tokens.ids for tokens in encoder.encode(batch)]


async def _embed(embedder: Embedder, batch: Sequence[Document], spool: BinaryIO) -> None:
    vectors: Vectors = await embedder.embed_passages([passage_text(d) for d in batch], Deadline.never())
    if vectors.shape != (len(batch), embedder.dimension) or not np.isfinite(vectors).all():
        raise EmbedderError(f"{embedder.id} gave vectors of shape {vectors.shape}, or values that are not finite")
    spool.write(np.ascontiguousarray(vectors, dtype=np.float32).tobytes())
