"""Tables of query id, document id and a number: the form of both judgements and runs in BEIR-layout folders."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from service.corpus.files import malformed, opened

COLUMNS = 3


def scored_pairs(path: Path) -> Iterator[tuple[int, str, str, float]]:
    """Line number, query id, document id and number of each row; a first line whose number is a word is a header.

    Raises:
        InvalidInput: the file is unreadable, a row has not three tab-separated fields, or its number is not finite.
    """
    with opened(path) as file:
        for line, text in enumerate(file, 1):
            if text.isspace():
                continue
            fields = text.rstrip("\r\n").split("\t")
            if len(fields) != COLUMNS:
                raise malformed(path, line, f"{COLUMNS} tab-separated fields were expected, not {len(fields)}")
            number = _number(fields[2])
            if number is not None:
                yield line, fields[0], fields[1], number
            elif line > 1:
                raise malformed(path, line, f"not a number: {fields[2]!r}")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
