"""Documents added to and deleted from an index that is there: first into its log, then into its next version.

Changes are acknowledged when they are on the disk, and found by searches from the next version on, which is made of
the version before and the log. A document that is added in the place of another moves to the end; nothing else changes
its order, vectors or tokens. An index whose kind does not keep exact vectors, such as one of inverted lists with 8-bit
codes, is embedded anew. Changes are held in memory: a whole corpus is for ``build_index``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.domain import Document, TokenIds
from service.errors import IndexIncompatible, InvalidInput
from service.retrieval import change_log, faiss_index, index_store
from service.retrieval.builder import Batch, Progress, Recipe, batches, publish_batches
from service.retrieval.change_log import Change, Delete, Put
from service.retrieval.document_store import DocumentReader, cleaned
from service.retrieval.embedding.embedder import Embed
from service.retrieval.manifest import Manifest
from service.retrieval.spool import spooled
from service.retrieval.vector_reader import VectorReader

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class _Before:
    """The open version that the next one is made of, and what makes vectors that it lacks."""

    documents: DocumentReader
    vectors: VectorReader
    embed: Embed


@dataclass(frozen=True, slots=True)
class Effect:
    """What changes do to the documents that are there: how many are new, replaced, deleted, and not there to delete."""

    added: int
    replaced: int
    deleted: int
    missing: Sequence[str]


class IndexWriter:
    """The only writer of an index for as long as ``index_writer`` keeps it."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self._folder = folder
        self._recipe = recipe
        self._version = index_store.current_version(folder)
        self._manifest = index_store.read_manifest(self._version)
        self._manifest.require_embedder(recipe.embedder.id, recipe.embedder.dimension)
        if self._manifest.collection is not None:
            raise IndexIncompatible(f"the passages of {folder} are in Milvus: build the index anew to change them")

    @property
    def pending(self) -> int:
        """Changes that are acknowledged and not yet in a version."""
        return len(change_log.read(self._log))

    def add(self, documents: Iterable[Document]) -> Effect:
        """Acknowledge documents, all or none; one whose id is there replaces that document.

        Of documents with the same id the last one holds.

        Raises:
            InvalidInput: a document that cannot be stored, or whatever ``documents`` raises; nothing is added.
            IndexFolderError: the disk is full or fails; nothing is added.
        """
        return self._append([Put(cleaned(document, row)) for row, document in enumerate(documents)])

    def delete(self, ids: Iterable[str]) -> Effect:
        """Acknowledge deletions, all or none; an id that is not there stays absent, which is no error.

        Raises:
            InvalidInput: no document would be left, and an index needs one.
            IndexFolderError: the disk is full or fails; nothing is deleted.
        """
        return self._append([Delete(name) for name in dict.fromkeys(ids)])

    async def publish(self, progress: Progress | None = None) -> Manifest:
        """Make the next version of what is acknowledged; without pending changes, the version that is there stays.

        Raises:
            IndexCorrupt: the version before, or its log, is damaged.
            EmbedderError: the encoder gave no usable vectors.
            IndexFolderError: the disk is full or fails; the version before stays in use, and the log.
        """
        changes = change_log.read(self._log)
        if not changes:
            return self._manifest
        index_store.verify(self._version, self._manifest)
        last = _last_by_id(changes)
        vectors = VectorReader(self._version, self._manifest)
        embedder = self._recipe.embedder
        with (
            closing(DocumentReader(self._documents)) as reader,
            spooled(self._folder, embedder, self._recipe.vectors) as embed,
        ):
            total = _count_after(reader, last)
            made = self._next(_Before(reader, vectors, embed), last)
            manifest = await publish_batches(
                self._folder, made, self._recipe, factory=self._factory(vectors), total=total, progress=progress
            )
        self._version, self._manifest = index_store.current_version(self._folder), manifest
        return manifest

    @property
    def _log(self) -> Path:
        return self._version / index_store.CHANGES

    @property
    def _documents(self) -> Path:
        return self._version / index_store.DOCUMENTS

    def _append(self, changes: Sequence[Change]) -> Effect:
        before = _last_by_id(change_log.read(self._log))
        new = _last_by_id(changes)
        with closing(DocumentReader(self._documents)) as reader:
            if _count_after(reader, before | new) == 0:
                raise InvalidInput("no document would be left, and an index needs one", field="id")
            there = _there(reader, before, new)
        if changes:
            change_log.append(self._log, changes)
        return _effect(new, there)

    def _factory(self, vectors: VectorReader) -> str | None:
        """The kind that was asked for when the index was built; ``None`` where it follows the number of vectors."""
        built = self._manifest.factory
        return None if built == faiss_index.choose_factory(vectors.dense.pieces) else built

    async def _next(self, before: _Before, last: dict[str, Change]) -> AsyncIterator[Batch]:
        """What stays of the version before, then what is added."""
        count = before.documents.count
        for first in range(0, count, _BATCH):
            stored = before.documents.fetch(range(first, min(first + _BATCH, count)))
            rows = [row for row in sorted(stored) if stored[row][0].id not in last]
            if rows:
                yield await self._kept(before, [stored[row] for row in rows], rows)
        added = [change.document for change in last.values() if isinstance(change, Put)]
        async for batch in batches(added, self._recipe, _BATCH, before.embed):
            yield batch

    async def _kept(
        self, before: _Before, stored: Sequence[tuple[Document, TokenIds | None]], rows: Sequence[int]
    ) -> Batch:
        """Documents that stay, with the vectors and tokens that they have where those are still right."""
        documents = [document for document, _ in stored]
        same = self._manifest.encoding == self._recipe.encoding
        tokens = [ids for _, ids in stored] if same else self._recipe.tokens(documents)
        if before.vectors.exact:
            return Batch(documents, tokens, before.vectors.vectors(rows))
        return Batch(documents, tokens, await before.embed(documents))


@contextmanager
def index_writer(folder: Path, recipe: Recipe) -> Iterator[IndexWriter]:
    """Be the only writer of an index.

    Raises:
        IndexMissing, IndexCorrupt: there is no index to change, or none that can be read.
        IndexIncompatible: it was built with another embedder, or its passages are in Milvus.
        IndexFolderError: another build or change of it is running.
    """
    index_store.current_version(folder)  # before a lock is left where there is no index
    with index_store.locked(folder):
        yield IndexWriter(folder, recipe)


def _last_by_id(changes: Iterable[Change]) -> dict[str, Change]:
    """The change that holds for each id, in the order in which they were made."""
    last: dict[str, Change] = {}
    for change in changes:
        name = change.document.id if isinstance(change, Put) else change.id
        last.pop(name, None)
        last[name] = change
    return last


def _count_after(reader: DocumentReader, last: dict[str, Change]) -> int:
    """Documents once changes are made."""
    return reader.count - len(reader.holding(last)) + sum(isinstance(change, Put) for change in last.values())


def _there(reader: DocumentReader, before: dict[str, Change], new: dict[str, Change]) -> set[str]:
    """The ids of new changes that name a document which is there, in the version or by a change before."""
    stored = reader.holding([name for name in new if name not in before])
    return stored | {name for name in new if isinstance(before.get(name), Put)}


def _effect(new: dict[str, Change], there: set[str]) -> Effect:
    put = {name for name, change in new.items() if isinstance(change, Put)}
    deleted = new.keys() - put
    missing = [name for name in new if name in deleted and name not in there]
    return Effect(len(put - there), len(put & there), len(deleted & there), missing)
