"""How an index lies on disk, and how it is replaced so that nobody ever sees half of one.

    NAME/
      CURRENT                     name of the version in use, one line
      versions/20261121T093000-5f0c/
        manifest.json  vectors.faiss  documents.sqlite
        sparse.index            where the embedder gives sparse vectors, see sparse_index.py
        pieces.npy              where a passage has more than one dense vector, see dense_index.py
        changes.log             what is to be added to this version and deleted from it, see change_log.py
      versions/20261120T180000-91aa/    the one before
      spool.sqlite              vectors computed for a build that has not ended, see spool.py

A version whose documents and vectors are in Milvus has a manifest alone, which names their collection.

A version is written in full, synced to the disk and only then named by ``CURRENT``, a file that is replaced by
renaming. That rename is the one step that changes what a reader finds: a crash before it leaves the old index (or
none), after it the new one. A pointer was preferred to exchanging two folders because renaming a small file is atomic
on every file system, network ones included, and because readers that have just read the old name still find its files:
the version before stays until the next build begins, which also removes what crashed builds left behind.

The log of changes lies in the folder of the version that it changes: the rename that makes the next version current is
also what retires the log, so no change is ever applied twice or to another version.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from service.errors import IndexCorrupt, IndexFolderError, IndexIncompatible, IndexMissing
from service.retrieval.manifest import FileRecord, Manifest

MANIFEST = "manifest.json"
VECTORS = "vectors.faiss"
DOCUMENTS = "documents.sqlite"
SPARSE = "sparse.index"
PIECES = "pieces.npy"
CHANGES = "changes.log"
SPOOL = "spool.sqlite"

_ALWAYS, _SOMETIMES = (VECTORS, DOCUMENTS), (SPARSE, PIECES)
_POINTER = "CURRENT"
_VERSIONS = "versions"
_LOCK = ".lock"
_VERSION_NAME = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")


def indexes_in(directory: Path) -> list[Path]:
    """The index folders of a directory, by name; none where there is no such directory."""
    if not directory.is_dir():
        return []
    return sorted(folder for folder in directory.iterdir() if (folder / _POINTER).is_file())


def current_version(root: Path) -> Path:
    """The folder of the version in use. Raises ``IndexMissing`` or ``IndexCorrupt``."""
    try:
        name = (root / _POINTER).read_text(encoding="utf-8", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise IndexMissing(f"there is no index at {root}") from error
    if not _VERSION_NAME.fullmatch(name):
        raise IndexCorrupt(f"{root / _POINTER} does not name a version")
    version = root / _VERSIONS / name
    if not version.is_dir():
        raise IndexCorrupt(f"{root / _POINTER} names a version that is not there: {name}")
    return version


def read_manifest(version: Path) -> Manifest:
    """The manifest of a version. Raises ``IndexCorrupt`` or ``IndexIncompatible``."""
    try:
        text = (version / MANIFEST).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise IndexCorrupt(f"{version / MANIFEST} cannot be read: {error}") from error
    return Manifest.from_json(text)


def verify(version: Path, manifest: Manifest, *, checksums: bool = True) -> None:
    """Compare the files with the manifest: sizes always, bytes unless told not to. Raises ``IndexCorrupt``."""
    listed, needed = set(manifest.files), set() if manifest.collection else {*_ALWAYS}
    if not needed <= listed <= (needed and {*_ALWAYS, *_SOMETIMES}):
        raise IndexCorrupt(f"{version / MANIFEST} lists {sorted(manifest.files)}")
    for name, promised in manifest.files.items():
        path = version / name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise IndexCorrupt(f"{path} is missing") from error
        if size != promised.bytes:
            raise IndexCorrupt(f"{path} has {size} bytes, the manifest says {promised.bytes}")
        if checksums and _sha256(path) != promised.sha256:
            raise IndexCorrupt(f"{path} differs from its checksum in the manifest")


def fingerprint(root: Path) -> tuple[object, ...]:
    """Differs whenever ``CURRENT`` or a file of the version that it names does; quick, and never an error."""
    name = _pointed_at(root)
    version = root / _VERSIONS / (name if name and _VERSION_NAME.fullmatch(name) else "")
    return name, *(_stamp(version / file) for file in (MANIFEST, *_ALWAYS, *_SOMETIMES))


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Be the only one who writes to an index, which is made if it is missing.

    Raises:
        IndexIncompatible: ``root`` holds something that is not an index.
        IndexFolderError: another build or change of this index is running, or the folder cannot be written.
    """
    with ExitStack() as held:
        try:
            _claim(root)
            lock = held.enter_context((root / _LOCK).open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the system when the process dies
        except BlockingIOError as error:
            raise IndexFolderError(f"another build or change of {root} is running: try again after it") from error
        except OSError as error:
            raise IndexFolderError(f"{root} cannot be written: {error}") from error
        yield


def other_versions(root: Path) -> list[Path]:
    """The folders of versions that are not in use: the one before, and what crashed builds left behind."""
    current = _pointed_at(root)
    folders = (root / _VERSIONS).iterdir()
    return [folder for folder in folders if folder.name != current and _VERSION_NAME.fullmatch(folder.name)]


@contextmanager
def new_version(root: Path) -> Iterator[Path]:
    """An empty folder to write a version into, removed again unless ``publish`` named it; for who has ``locked``.

    Raises ``IndexFolderError`` when the disk is full or fails, which leaves the version in use as it was.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    version = root / _VERSIONS / f"{stamp}-{secrets.token_hex(4)}"
    try:
        for other in other_versions(root):
            shutil.rmtree(other)
        version.mkdir()
        yield version
    except (OSError, sqlite3.OperationalError) as error:
        raise IndexFolderError(f"a new version of {root} cannot be written, the one in use stays: {error}") from error
    finally:
        if _pointed_at(root) != version.name:
            shutil.rmtree(version, ignore_errors=True)


def record_files(version: Path) -> dict[str, FileRecord]:
    """Sizes and checksums of a version's files, for its manifest."""
    names = (*_ALWAYS, *(name for name in _SOMETIMES if (version / name).exists()))
    return {name: FileRecord((version / name).stat().st_size, _sha256(version / name)) for name in names}


def publish(root: Path, version: Path, manifest: Manifest) -> None:
    """Make a fully written version the current one, durably."""
    (version / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    for name in (*manifest.files, MANIFEST):
        sync(version / name)
    sync(version)
    sync(root / _VERSIONS)
    beside = root / f"{_POINTER}.new"
    beside.write_text(f"{version.name}\n", encoding="utf-8")
    sync(beside)
    beside.replace(root / _POINTER)
    sync(root)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _claim(root: Path) -> None:
    """Make the folder of an index, or see that an existing folder is one, so that no foreign folder is written into."""
    if root.exists() and (not root.is_dir() or (any(root.iterdir()) and not (root / _VERSIONS).is_dir())):
        raise IndexIncompatible(f"{root} exists and is not an index")
    (root / _VERSIONS).mkdir(parents=True, exist_ok=True)


def _pointed_at(root: Path) -> str | None:
    try:
        return (root / _POINTER).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
