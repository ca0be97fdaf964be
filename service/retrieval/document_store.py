"""The SQLite half of an index: documents, the reranker's token ids for each, and the full-text index over them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import numpy as np

from service.domain import Document, TokenIds
from service.errors import IndexCorrupt, InvalidInput
from service.retrieval import lexical

_SCHEMA = """
CREATE TABLE documents (
    row INTEGER PRIMARY KEY,      -- from 0; the vector's number in FAISS
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    metadata TEXT NOT NULL,       -- a JSON object
    tokens BLOB                   -- see pack_tokens
) STRICT
"""
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
_MAP_BYTES = 1 << 30


class DocumentWriter:
    """Fills a new file, batch by batch. Durability is the caller's: a build that dies is thrown away as a whole."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute(_SCHEMA)
        self._connection.execute(lexical.SCHEMA)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def count(self) -> int:
        """Documents written so far."""
        return self._count

    def add(self, documents: Sequence[Document], tokens: Sequence[TokenIds | None]) -> None:
        """Append documents, already cleaned. Raises ``InvalidInput`` naming an id that was seen before."""
        first = self._count
        self._connection.execute("BEGIN")
        for row, (document, ids) in enumerate(zip(documents, tokens, strict=True), start=first):
            self._add_one(row, document, ids)
        lexical.insert(self._connection, ((first + i, d.title, d.text) for i, d in enumerate(documents)))
        self._connection.execute("COMMIT")
        self._count += len(documents)

    def finish(self) -> None:
        """Merge the full-text index into its fastest form to search."""
        self._connection.execute("INSERT INTO passages(passages) VALUES ('optimize')")

    def _add_one(self, row: int, document: Document, ids: TokenIds | None) -> None:
        values = (
            row,
            document.id,
            document.title,
            document.text,
            _metadata_json(document, row),
            None if ids is None else pack_tokens(ids),
        )
        try:
            self._connection.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)", values)
        except sqlite3.IntegrityError as error:
            raise InvalidInput(
                f"the document id {document.id!r} occurs more than once", field=f"documents[{row}].id"
            ) from error


class DocumentReader:
    """One read-only connection, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises ``IndexCorrupt`` when it is not a document store."""
        # A published file never changes: immutable spares SQLite its locks and works on read-only disks.
        location = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        try:
            self.connection = sqlite3.connect(location, uri=True, isolation_level=None, check_same_thread=False)
            self.connection.execute(f"PRAGMA mmap_size = {_MAP_BYTES}")
            (self._last_row,) = self.connection.execute("SELECT max(row) FROM documents").fetchone()
            self.connection.execute("SELECT rowid FROM passages LIMIT 1").fetchone()
        except sqlite3.Error as error:
            raise IndexCorrupt(f"{path} is not a document store: {error}") from error

    @property
    def count(self) -> int:
        """Documents in the store."""
        return 0 if self._last_row is None else int(self._last_row) + 1

    def fetch(self, rows: Sequence[int]) -> dict[int, tuple[Document, TokenIds | None]]:
        """Documents and their stored token ids by row number."""
        found = self.connection.execute(
            "SELECT row, id, title, text, metadata, tokens FROM documents"
            " WHERE row IN (SELECT value FROM json_each(?))",
            (json.dumps(list(rows)),),
        )
        return {
            row: (Document(name, text, title, json.loads(metadata)), None if blob is None else unpack_tokens(blob))
            for row, name, title, text, metadata, blob in found
        }

    def rows(self, ids: Collection[str]) -> list[int]:
        """The row numbers of those of ``ids`` that documents of the store have."""
        found = self.connection.execute(
            "SELECT row FROM documents WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
        )
        return [row for (row,) in found]

    def holding(self, ids: Collection[str]) -> set[str]:
        """Those of ``ids`` that documents of the store have."""
        found = self.connection.execute(
            "SELECT id FROM documents WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),)
        )
        return {name for (name,) in found}

    def close(self) -> None:
        """Release the connection."""
        self.connection.close()


def cleaned(document: Document, row: int) -> Document:
    """A document that can be stored and sent as UTF-8.

    NUL characters and lone surrogates, which no encoding carries, become U+FFFD in title, text and metadata. In an id
    they are refused, because an id must come back as it was given.

    Raises:
        InvalidInput: the id is empty or holds such a character.
    """
    if not document.id or _UNUSABLE.search(document.id):
        raise InvalidInput(f"{document.id!r} cannot be a document id", field=f"documents[{row}].id")
    if not (_UNUSABLE.search(document.text) or _UNUSABLE.search(document.title)):
        return document
    return Document(document.id, _repaired(document.text), _repaired(document.title), document.metadata)


def pack_tokens(ids: TokenIds) -> bytes:
    """Token ids as bytes: the width of one id (2 or 4), then the ids, little-endian."""
    width = 2 if ids.size == 0 or int(ids.max()) < 1 << 16 else 4
    return bytes([width]) + ids.astype(f"<u{width}").tobytes()


def unpack_tokens(blob: bytes) -> TokenIds:
    """The inverse of ``pack_tokens``."""
    return np.frombuffer(blob, dtype=f"<u{blob[0]}", offset=1).astype(np.uint32)


def _repaired(text: str) -> str:
    return _UNUSABLE.sub("\ufffd", text)


def _metadata_json(document: Document, row: int) -> str:
    try:
        return _repaired(json.dumps(dict(document.metadata), ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"the metadata of document {document.id!r} is not JSON: {error}", field=f"documents[{row}].metadata"
        ) from error
