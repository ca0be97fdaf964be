"""What an index promises about itself: ``manifest.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from service.errors import IndexCorrupt, IndexIncompatible

FORMAT = 2
"""Raised whenever an older service could misread the files, or vectors would be made of other pieces of a passage."""

REBUILD = "rebuild it: onepass index build SOURCE --name NAME"

METRIC = "inner_product"
"""Vectors are unit length, so this is the cosine."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Size in bytes and SHA-256 of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of an index. ``encoding`` names the reranker tokens stored with each document, if there are any.

    ``collection`` names the Milvus collection that holds the documents and vectors of an index without files.
    """

    embedder: str
    dimension: int
    factory: str
    documents: int
    created: str
    files: Mapping[str, FileRecord]
    encoding: str | None = None
    metric: str = METRIC
    collection: str | None = None

    @property
    def version(self) -> str:
        """A hash of everything that decides what a query finds: all of the manifest but the time of its making."""
        promised = asdict(self)
        del promised["created"]
        return hashlib.sha256(json.dumps(promised, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(record.bytes for record in self.files.values())

    @property
    def created_at(self) -> float:
        """``created`` as a Unix time."""
        return datetime.fromisoformat(self.created).timestamp()

    def require_embedder(self, name: str, dimension: int) -> None:
        """Raises ``IndexIncompatible`` unless the vectors are those of this embedder."""
        if (self.embedder, self.dimension) != (name, dimension):
            raise IndexIncompatible(
                f"the index was built with {self.embedder} ({self.dimension} dimensions),"
                f" the service runs {name} ({dimension}); {REBUILD}"
            )

    def to_json(self) -> str:
        """The text of ``manifest.json``."""
        return json.dumps({"format": FORMAT, "version": self.version, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read a manifest.

        Raises:
            IndexCorrupt: it is no manifest, or it was changed after it was written.
            IndexIncompatible: it is of another format or metric.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            found = fields.pop("format")
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise IndexCorrupt(f"manifest.json is not the manifest of an index: {error!r}") from error
        if found != FORMAT:
            raise IndexIncompatible(f"the index is of format {found!r}, this service reads format {FORMAT}; {REBUILD}")
        try:
            version = fields.pop("version")
            files = {name: FileRecord(**record) for name, record in fields.pop("files").items()}
            manifest = cls(**fields, files=files)
            datetime.fromisoformat(manifest.created)
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            raise IndexCorrupt(f"manifest.json lacks what a manifest holds: {error!r}") from error
        if manifest.version != version:
            raise IndexCorrupt("manifest.json was changed after it was written: its version is not its contents' hash")
        if manifest.metric != METRIC:
            raise IndexIncompatible(f"the index compares by {manifest.metric!r}, this service by {METRIC!r}")
        return manifest
