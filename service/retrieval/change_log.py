"""What is to be added to an index and deleted from it, kept safe until the next version holds it.

    5f8e…01bc [{"put": {"id": "a", "title": "", "text": "…", "metadata": {}}}, {"delete": "b"}]

A line is one append, whose changes hold all or none; it begins with the SHA-256 of its JSON. The disk is waited for
before an append is acknowledged, and so before the next one begins. A last line without an end is therefore what a
crash left of an append that nobody was promised: it is not read, and the next append writes over it. A line with an end
that differs from its checksum is damage.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from service.domain import Document
from service.errors import IndexCorrupt, IndexFolderError, InvalidInput
from service.retrieval.index_store import sync


@dataclass(frozen=True, slots=True)
class Put:
    """Add a document, in the place of the one that has its id."""

    document: Document


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the document of that id, if there is one."""

    id: str


Change = Put | Delete


def append(path: Path, changes: Sequence[Change]) -> None:
    """Append changes, all or none, and wait for the disk: once it returns, they survive any crash.

    Not for two writers at once: the caller has the index's lock.

    Raises:
        InvalidInput: a document's metadata is not JSON.
        IndexFolderError: the disk is full or fails; nothing is appended.
        IndexCorrupt: as ``read``.
    """
    line = _line(changes)
    end = sum(length for _, length in _appends(path))
    try:
        with FileIO(path, "a") as file:
            file.truncate(end)
            try:
                _write(file, line)
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):  # what is left of a line is not read, should even this fail
                    file.truncate(end)
                raise
        sync(path.parent)
    except OSError as error:
        raise IndexFolderError(f"{path} cannot be written, nothing is changed: {error}") from error


def read(path: Path) -> list[Change]:
    """All changes appended, in order; none where there is no file.

    Raises ``IndexCorrupt`` when the file cannot be read or is damaged.
    """
    return [change for changes, _ in _appends(path) for change in changes]


def _line(changes: Sequence[Change]) -> bytes:
    try:
        payload = json.dumps([_record(change) for change in changes], allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"the metadata of a document is not JSON: {error}", field="metadata") from error
    return b"%s %s\n" % (_digest(payload), payload)


def _write(file: FileIO, data: bytes) -> None:
    """Write all of it: one call may take only a part, such as what still fits on the disk."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _appends(path: Path) -> Iterator[tuple[list[Change], int]]:
    """The changes of each whole append, and the bytes it takes."""
    for number, line in enumerate(_lines(path), start=1):
        if not line.endswith(b"\n"):
            return
        digest, _, payload = line.removesuffix(b"\n").partition(b" ")
        if digest != _digest(payload):
            raise IndexCorrupt(f"{path} is damaged: line {number} differs from its checksum")
        yield [_change(record) for record in json.loads(payload)], len(line)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
    except OSError as error:
        raise IndexCorrupt(f"{path} cannot be read: {error}") from error


def _digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).hexdigest().encode()


def _record(change: Change) -> dict[str, Any]:
    match change:
        case Put(document):
            fields = {"id": document.id, "title": document.title, "text": document.text}
            return {"put": fields | {"metadata": dict(document.metadata)}}
        case Delete(name):
            return {"delete": name}


def _change(record: dict[str, Any]) -> Change:
    if "put" in record:
        return Put(Document(**record["put"]))
    return Delete(record["delete"])
