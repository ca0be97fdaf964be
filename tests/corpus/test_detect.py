from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from service.corpus.beir import BeirFolder
from service.corpus.chunking import Chunking
from service.corpus.csv_file import CsvFile
from service.corpus.detect import source_at
from service.corpus.folder import TextFolder
from service.corpus.jsonl import JsonLines
from service.corpus.source import Source
from service.corpus.stdlib_docs import StdlibDocs
from service.errors import InvalidInput


def detected(place: Path | str) -> Source:
    return source_at(str(place), lambda: Chunking(Tokenizer(models.WordLevel({}))))


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("a.jsonl", JsonLines),
        ("a.JSONL.gz", JsonLines),
        ("a.ndjson", JsonLines),
        ("a.csv", CsvFile),
        ("a.csv.gz", CsvFile),
    ],
)
def test_files_are_told_by_their_names(tmp_path: Path, name: str, reader: type) -> None:
    (tmp_path / name).touch()
    assert isinstance(detected(tmp_path / name), reader)


def test_folders_are_told_by_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "note.md").touch()
    assert isinstance(detected(tmp_path), TextFolder)
    (tmp_path / "corpus.jsonl.gz").touch()
    assert isinstance(detected(tmp_path), BeirFolder)


def test_the_standard_library_is_a_word_not_a_path() -> None:
    assert isinstance(detected("stdlib"), StdlibDocs)


def test_what_fits_no_reader_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").touch()
    with pytest.raises(InvalidInput, match=r"a\.pdf: not a corpus"):
        detected(tmp_path / "a.pdf")
    with pytest.raises(InvalidInput, match="no such file or folder"):
        detected(tmp_path / "nothing")
    with pytest.raises(InvalidInput, match="neither a corpus"):
        detected(tmp_path)
