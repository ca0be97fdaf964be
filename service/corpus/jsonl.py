"""A JSON-lines file, plain or gzipped: one object a line with ``text`` and, if it likes, ``id``, ``title``, more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.corpus.files import count_lines, json_objects, malformed
from service.corpus.records import document_from
from service.domain import Document


@dataclass(frozen=True, slots=True)
class JsonLines:
    """The documents of one JSON-lines file."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name up to its first dot."""
        return self.path.name.partition(".")[0]

    def count(self) -> int:
        """The lines that hold something."""
        return count_lines(self.path)

    def documents(self) -> Iterator[Document]:
        """One document a line; see ``Source``."""
        for line, record in json_objects(self.path):
            try:
                yield document_from(record)
            except (TypeError, ValueError) as error:
                raise malformed(self.path, line, str(error)) from error
