"""A CSV file with a header: ``text``, if it likes ``id`` and ``title``, and further columns as metadata."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.corpus.files import malformed, opened, unreadable
from service.corpus.records import document_from
from service.domain import Document

MAX_FIELD_CHARS = 2**27
"""The csv module's own limit of 131,072 characters is less than a long document."""


@dataclass(frozen=True, slots=True)
class CsvFile:
    """The documents of one CSV file, plain or gzipped; quoted fields may span lines."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name up to its first dot."""
        return self.path.name.partition(".")[0]

    def count(self) -> None:
        """Unknown: quoted line breaks hide where rows end."""

    def documents(self) -> Iterator[Document]:
        """One document a row; see ``Source``. Lines in errors are where the row ends."""
        csv.field_size_limit(MAX_FIELD_CHARS)
        with opened(self.path) as file:
            rows = csv.reader(file, strict=True)
            try:
                yield from self._documents(rows)
            except (csv.Error, ValueError) as error:
                raise malformed(self.path, rows.line_num, str(error)) from error

    def _documents(self, rows: Iterator[list[str]]) -> Iterator[Document]:
        header = next(rows, [])
        if "text" not in header:
            raise unreadable(self.path, f"no column 'text' in the header: {', '.join(header) or 'the file is empty'}")
        for row in rows:
            if row:
                yield document_from(_record(header, row))


def _record(header: list[str], row: list[str]) -> dict[str, str]:
    if len(row) != len(header):
        raise ValueError(f"{len(row)} fields in a table of {len(header)} columns")
    return {column: value for column, value in zip(header, row, strict=True) if value}
