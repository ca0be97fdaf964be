"""What an operator wants to know of an index folder, without an embedder and without opening it for search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from service.retrieval import index_store


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """The current version of an index. ``file_bytes`` holds the size of each file by name."""

    folder: Path
    version: str
    created: str
    documents: int
    embedder: str
    dimension: int
    factory: str
    metric: str
    encoding: str | None
    file_bytes: dict[str, int]

    @property
    def total_bytes(self) -> int:
        """Size of the version on disk."""
        return sum(self.file_bytes.values())


def inspect_index(folder: Path, *, checksums: bool = True) -> IndexSummary:
    """Verify an index and sum it up. Raises ``IndexMissing``, ``IndexCorrupt`` or ``IndexIncompatible``."""
    version = index_store.current_version(folder)
    manifest = index_store.read_manifest(version)
    index_store.verify(version, manifest, checksums=checksums)
    return IndexSummary(
        folder=version,
        version=manifest.version,
        created=manifest.created,
        documents=manifest.documents,
        embedder=manifest.embedder,
        dimension=manifest.dimension,
        factory=manifest.factory,
        metric=manifest.metric,
        encoding=manifest.encoding,
        file_bytes={name: record.bytes for name, record in manifest.files.items()},
    )
