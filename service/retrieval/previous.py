"""Vectors taken over from the version in use, when an index is built anew of documents that are mostly the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from service.domain import Document
from service.errors import IndexFolderError, IndexIncompatible
from service.retrieval import index_store
from service.retrieval.document_store import DocumentReader
from service.retrieval.embedding.embedder import Embed, Embedder, PassageVectors
from service.retrieval.vector_reader import VectorReader


class PreviousVersion:
    """The version in use of the index at ``folder``, checked in full.

    Raises:
        IndexMissing, IndexCorrupt: there is none, or none that can be read.
        IndexIncompatible: its vectors are another embedder's, are not kept as they were given, or are in Milvus.
    """

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        version = index_store.current_version(folder)
        manifest = index_store.read_manifest(version)
        manifest.require_embedder(embedder.id, embedder.dimension)
        if manifest.collection is not None:
            raise IndexIncompatible(f"the vectors of {folder} are in Milvus")
        index_store.verify(version, manifest)
        self._vectors = VectorReader(version, manifest)
        if not self._vectors.exact:
            raise IndexIncompatible(f"{manifest.factory} does not keep vectors as they were given")
        self._documents = DocumentReader(version / index_store.DOCUMENTS)

    async def vectors(self, embed: Embed, documents: Sequence[Document]) -> PassageVectors:
        """The vectors of documents, at least one; ``embed`` makes those of new or changed ones, in one call."""
        known = self._rows(documents)
        if not known:
            return await embed(documents)
        rows = sorted({*known.values()})
        kept = dict(zip(rows, self._vectors.vectors(rows).each(), strict=True))
        new = [document for document in documents if document.id not in known]
        made = iter((await embed(new)).each() if new else [])
        return PassageVectors.joined(
            [kept[known[document.id]] if document.id in known else next(made) for document in documents]
        )

    def close(self) -> None:
        """Release the files."""
        self._documents.close()

    def _rows(self, documents: Sequence[Document]) -> dict[str, int]:
        """The rows of those that are there with the same title and text, by id."""
        asked = {document.id: (document.title, document.text) for document in documents}
        stored = self._documents.fetch(self._documents.rows(asked))
        return {
            document.id: row
            for row, (document, _) in stored.items()
            if asked[document.id] == (document.title, document.text)
        }


@contextmanager
def reusing(folder: Path, embedder: Embedder, embed: Embed) -> Iterator[Embed]:
    """``embed``, without the documents whose vectors the version in use has; all of them, where it has none to use."""
    try:
        previous = PreviousVersion(folder, embedder)
    except IndexFolderError:
        yield embed
        return
    with closing(previous):
        yield partial(previous.vectors, embed)
