"""A stream of documents into a new Milvus collection, and an index folder that names it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import grpc
from pymilvus import MilvusClient, MilvusException

from service.domain import Document
from service.errors import IndexFolderError, InvalidInput
from service.retrieval import index_store
from service.retrieval.builder import Progress, Recipe, batches
from service.retrieval.document_store import cleaned
from service.retrieval.embedding.embedder import Embedder
from service.retrieval.manifest import Manifest
from service.retrieval.milvus.collection import collection_name, entities, index_params, schema
from service.retrieval.milvus.options import MilvusOptions
from service.retrieval.milvus.server import CONNECT_S, failure
from service.retrieval.spool import spooled

KIND = "Milvus"
"""In the place of a FAISS factory string."""

_CALL_S = 60.0
_BATCH = 512
_IDS = "ids.sqlite"


async def build_in_milvus(
    options: MilvusOptions,
    folder: Path,
    documents: Iterable[Document],
    recipe: Recipe,
    *,
    total: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Build a collection and make it the one that the index at ``folder`` searches, once it is complete.

    The collection before stays until the next build, as the files of an index do. Memory holds one batch; arguments are
    those of ``build_index``.

    Raises:
        InvalidInput: no document, a repeated or unusable id, a document that is too long for Milvus.
        EmbedderError: the encoder gave no usable vectors.
        IndexFolderError: Milvus failed, or the folder is something else's or cannot be written.
    """
    numbered = (cleaned(document, row) for row, document in enumerate(documents))
    embedder = recipe.embedder
    with (
        index_store.locked(folder),
        spooled(folder, embedder, recipe.vectors) as embed,
        _connected(options) as client,
    ):
        for other in index_store.other_versions(folder):
            client.drop_collection(collection_name(folder.name, other.name), timeout=_CALL_S)
        with index_store.new_version(folder) as version:
            collection = collection_name(folder.name, version.name)
            with _new_collection(client, collection, embedder):
                count = 0
                with closing(_SeenIds(version / _IDS)) as seen:
                    async for batch in batches(numbered, recipe, _BATCH, embed):
                        seen.add(batch.documents, count)
                        client.insert(collection, entities(batch, count), timeout=_CALL_S)
                        count += len(batch.documents)
                        if progress is not None:
                            progress(count, total)
                (version / _IDS).unlink()
                if count == 0:
                    raise InvalidInput("an index needs at least one document", field="documents")
                _require(client, collection, count)
                manifest = Manifest(
                    embedder=embedder.id,
                    dimension=embedder.dimension,
                    factory=KIND,
                    documents=count,
                    created=datetime.now(UTC).isoformat(timespec="seconds"),
                    files={},
                    encoding=recipe.encoding,
                    collection=collection,
                )
                index_store.publish(folder, version, manifest)
                return manifest


@contextmanager
def _connected(options: MilvusOptions) -> Iterator[MilvusClient]:
    try:
        with closing(MilvusClient(options.url, token=options.secret, timeout=CONNECT_S, dedicated=True)) as client:
            yield client
    except (MilvusException, grpc.RpcError) as error:
        raise IndexFolderError(f"{failure(options, error)}; the version in use stays") from error


@contextmanager
def _new_collection(client: MilvusClient, name: str, embedder: Embedder) -> Iterator[None]:
    """A collection that is dropped again if the block fails."""
    params = index_params(embedder)
    client.create_collection(name, schema=schema(embedder), index_params=params, timeout=_CALL_S)
    try:
        yield
    except BaseException:
        with suppress(MilvusException, grpc.RpcError):
            client.drop_collection(name, timeout=_CALL_S)
        raise


def _require(client: MilvusClient, collection: str, count: int) -> None:
    """Raises ``IndexFolderError`` unless searches will find so many passages."""
    client.flush(collection, timeout=_CALL_S)
    (answer,) = client.query(collection, output_fields=["count(*)"], consistency_level="Strong", timeout=_CALL_S)
    if answer["count(*)"] != count:
        raise IndexFolderError(f"Milvus holds {answer['count(*)']} of {count} passages in {collection}")


class _SeenIds:
    """The ids so far, on the disk: Milvus takes an id twice without a word."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("CREATE TABLE ids(id TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, documents: Sequence[Document], first: int) -> None:
        """Note documents from row ``first`` on. Raises ``InvalidInput`` naming an id that was seen before."""
        self._connection.execute("BEGIN")
        for row, document in enumerate(documents, start=first):
            try:
                self._connection.execute("INSERT INTO ids VALUES (?)", (document.id,))
            except sqlite3.IntegrityError as error:
                raise InvalidInput(
                    f"the document id {document.id!r} occurs more than once", field=f"documents[{row}].id"
                ) from error
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
