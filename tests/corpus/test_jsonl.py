from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from service.corpus.jsonl import JsonLines
from service.domain import Document
from service.errors import InvalidInput

LINES = '{"id": "a", "text": "Tides follow the moon."}\n\n{"id": "b", "title": "Sky", "text": "Blue: \\u00e9"}\n'


def test_each_line_is_a_document_and_empty_lines_are_none(tmp_path: Path) -> None:
    path = tmp_path / "facts.v2.jsonl"
    path.write_text(LINES)
    source = JsonLines(path)
    assert source.name == "facts"
    assert source.count() == 2
    assert list(source.documents()) == [Document("a", "Tides follow the moon."), Document("b", "Blue: é", "Sky")]


def test_gzip_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + LINES.encode()))
    assert [document.id for document in JsonLines(path).documents()] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "a"}\n{"text": \n', r"facts\.jsonl:2: not JSON"),
        (b'["text"]\n', r"facts\.jsonl:1: a JSON object was expected, not list"),
        (b'{"text": "a"}\n\n{"txt": "a"}\n', r"facts\.jsonl:3: no 'text'"),
        (b'{"text": "a", "weight": NaN}\n', r"facts\.jsonl:1: not JSON: NaN"),
        (b"[" * 100_000, r"facts\.jsonl:1: not JSON"),
        (b'{"text": "\xff"}\n', r"facts\.jsonl: not UTF-8 text"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        list(JsonLines(path).documents())


@pytest.mark.parametrize(
    "content", [b"plain text", gzip.compress(LINES.encode() * 99)[:-12], b"\x1f\x8b\x08" + b"\0" * 40]
)
def test_a_broken_archive_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "facts.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"facts\.jsonl\.gz: "):
        list(JsonLines(path).documents())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.jsonl: No such file"):
        list(JsonLines(tmp_path / "nowhere.jsonl").documents())
