"""Text files, plain or gzipped, whose troubles are told as ``InvalidInput`` that names the file and the line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from service.errors import InvalidInput

GZIP = ".gz"


def malformed(path: Path, line: int, why: str) -> InvalidInput:
    """The error for a line, counted from 1, that cannot be used."""
    return InvalidInput(f"{path}:{line}: {why}", field=f"{path}:{line}")


def unreadable(path: Path, why: object) -> InvalidInput:
    """The error for a whole file or folder that cannot be used."""
    return InvalidInput(f"{path}: {why}", field=str(path))


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """``path`` as UTF-8 text, unpacked if its name ends in ``.gz``, without a byte order mark.

    Raises:
        InvalidInput: it is missing, broken or not UTF-8, now or while it is being read.
    """
    try:
        if path.suffix == GZIP:
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
                yield file
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                yield file
    except UnicodeDecodeError as error:
        raise unreadable(path, f"not UTF-8 text: {error.reason}") from error
    except (EOFError, zlib.error) as error:
        raise unreadable(path, f"broken gzip data: {error}") from error
    except OSError as error:
        raise unreadable(path, error.strerror or error) from error


def existing(folder: Path, name: str) -> Path | None:
    """``folder/name``, plain or gzipped, whichever is there."""
    return next((path for path in (folder / name, folder / (name + GZIP)) if path.is_file()), None)


def count_lines(path: Path) -> int:
    """How many lines hold more than white space: the number of records of a JSON-lines file."""
    with opened(path) as file:
        return sum(1 for line in file if not line.isspace())


def _not_json(constant: str) -> None:
    """Python reads NaN and infinities, which are not JSON and could not be given back."""
    raise ValueError(f"{constant} is not a number in JSON")


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each object of a JSON-lines file with its line number from 1; empty lines are skipped.

    Raises:
        InvalidInput: the file is unreadable, or a line is not one JSON object.
    """
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                value = json.loads(line, parse_constant=_not_json)
            except (ValueError, RecursionError) as error:
                raise malformed(path, number, f"not JSON: {error}") from error
            if not isinstance(value, dict):
                raise malformed(path, number, f"a JSON object was expected, not {type(value).__name__}")
            yield number, value
