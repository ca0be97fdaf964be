"""From a path, or the word for the demo corpus, to the reader that fits it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from service.corpus.beir import BeirFolder
from service.corpus.chunking import Chunking
from service.corpus.csv_file import CsvFile
from service.corpus.files import GZIP, unreadable
from service.corpus.folder import TextFolder, text_files
from service.corpus.jsonl import JsonLines
from service.corpus.source import Source
from service.corpus.stdlib_docs import StdlibDocs

STDLIB = "stdlib"
"""How a user asks for the documentation of the standard library."""

JSON_LINES = {".jsonl", ".ndjson"}
CSV = {".csv"}


def source_at(place: str, chunking: Callable[[], Chunking]) -> Source:
    """The reader for ``place``; ``chunking`` is asked for only where long texts have to be cut.

    Raises:
        InvalidInput: there is nothing at that path, or nothing that a reader understands.
    """
    if place == STDLIB:
        return StdlibDocs()
    path = Path(place)
    if path.is_dir():
        return _folder(path, chunking)
    if not path.exists():
        raise unreadable(path, f"no such file or folder (the demo corpus is called {STDLIB})")
    suffix = Path(path.name.removesuffix(GZIP)).suffix.lower()
    if suffix in JSON_LINES:
        return JsonLines(path)
    if suffix in CSV:
        return CsvFile(path)
    raise unreadable(path, "not a corpus: expected .jsonl, .csv, a BEIR-layout folder, or one of .txt and .md files")


def _folder(path: Path, chunking: Callable[[], Chunking]) -> Source:
    beir = BeirFolder(path)
    if beir.has_corpus():
        return beir
    if next(text_files(path), None) is None:
        raise unreadable(path, "neither a corpus.jsonl nor any .txt or .md file in this folder")
    return TextFolder(path, chunking())
