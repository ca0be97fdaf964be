"""Vectors computed for a build, kept until it ends, so that an interrupted one does not compute them again.

They lie in a file in the index's folder, by a digest of what they are made of: the embedder's id, the format, title and
text. Each call of the embedder is one transaction, so a crash leaves all vectors of a call or none. What was spooled
for documents that are gone or changed is never asked for; the file is removed when a version is published.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from service.domain import Document
from service.encoders.sparse_vectors import SparseVectors
from service.errors import IndexFolderError
from service.retrieval import index_store
from service.retrieval.embedding.embedder import Embed, Embedder, PassageVectors
from service.retrieval.manifest import FORMAT

_PRAGMAS = (
    "page_size = 32768",  # a row takes two or three kB: of smaller pages half would stay empty
    "locking_mode = EXCLUSIVE",  # who has the index's lock is alone
    "journal_mode = WAL",  # no commit waits for the disk
    "synchronous = NORMAL",
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    digest TEXT PRIMARY KEY,      -- in hexadecimal
    dense BLOB NOT NULL,          -- float32 [pieces, dimension]
    terms BLOB,                   -- uint32 [entries]; NULL where the embedder gives no sparse vectors
    weights BLOB                  -- float32 [entries]
) STRICT
"""


class Spool:
    """What ``embed`` has made of documents so far, with ``embedder``."""

    def __init__(self, path: Path, embedder: Embedder, embed: Embed) -> None:
        """Open or make the file. Raises ``IndexFolderError`` when it cannot be written or is damaged."""
        self._path = path
        self._embedder = embedder
        self._embed = embed
        with _translated(path):
            self._connection = sqlite3.connect(path, isolation_level=None)
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute(_SCHEMA)

    async def vectors(self, documents: Sequence[Document]) -> PassageVectors:
        """The vectors of documents, at least one; those that are not there are made in one call.

        Raises ``IndexFolderError`` when the file cannot be written or is damaged, and whatever ``embed`` does.
        """
        digests = [self._digest(document) for document in documents]
        found = self._read(digests)
        new = {digest: document for digest, document in zip(digests, documents, strict=True) if digest not in found}
        if new:
            made = (await self._embed([*new.values()])).each()
            self._write([*new], made)
            found.update(zip(new, made, strict=True))
        return PassageVectors.joined([found[digest] for digest in digests])

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def _digest(self, document: Document) -> str:
        made_of = [FORMAT, self._embedder.id, document.title, document.text]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()

    def _read(self, digests: Sequence[str]) -> dict[str, PassageVectors]:
        with _translated(self._path):
            rows = self._connection.execute(
                "SELECT digest, dense, terms, weights FROM vectors WHERE digest IN (SELECT value FROM json_each(?))",
                (json.dumps(digests),),
            )
            return {digest: self._unpacked(*blobs) for digest, *blobs in rows}

    def _write(self, digests: Sequence[str], vectors: Sequence[PassageVectors]) -> None:
        rows = ((digest, *_packed(own)) for digest, own in zip(digests, vectors, strict=True))
        with _translated(self._path):
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", rows)
            self._connection.execute("COMMIT")

    def _unpacked(self, dense: bytes, terms: bytes | None, weights: bytes | None) -> PassageVectors:
        pieces = np.frombuffer(dense, np.float32).reshape(-1, self._embedder.dimension)
        sparse = None
        if terms is not None and weights is not None:
            sparse = SparseVectors.joined([(np.frombuffer(terms, np.uint32), np.frombuffer(weights, np.float32))])
        return PassageVectors(pieces, np.array([len(pieces)]), sparse)


@contextmanager
def spooled(folder: Path, embedder: Embedder, embed: Embed) -> Iterator[Embed]:
    """``embed`` with a spool in an index's folder, removed if the block succeeds; for who has the index's lock.

    Raises ``IndexFolderError`` when the file cannot be written or is damaged.
    """
    path = folder / index_store.SPOOL
    with closing(Spool(path, embedder, embed)) as spool:
        yield spool.vectors
    path.unlink()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise IndexFolderError(f"{path} cannot be written, or is damaged and can be removed: {error}") from error


def _packed(vectors: PassageVectors) -> tuple[bytes, bytes | None, bytes | None]:
    dense = np.ascontiguousarray(vectors.dense, np.float32).tobytes()
    sparse = vectors.sparse
    return (
        dense,
        None if sparse is None else sparse.terms.tobytes(),
        None if sparse is None else sparse.weights.tobytes(),
    )
