from __future__ import annotations

import os
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from service.corpus.chunking import Chunking
from service.corpus.folder import TextFolder
from service.errors import InvalidInput


@pytest.fixture
def chunking() -> Chunking:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return Chunking(tokenizer, tokens=4, overlap=1)


def test_files_are_cut_in_the_order_of_their_paths(tmp_path: Path, chunking: Chunking) -> None:
    (tmp_path / "guide").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "guide" / "install.md").write_text("# Install\r\nfirst do this\r\n## Then\r\nthat\r\n")
    (tmp_path / "a.txt").write_text("one two three four five six seven")
    (tmp_path / ".git" / "hidden.txt").write_text("hidden")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    found = [(d.id, d.title, d.text, d.metadata) for d in TextFolder(tmp_path, chunking).documents()]
    assert found == [
        ("a.txt#1", "a", "one two three four", {"path": "a.txt"}),
        ("a.txt#2", "a", "four five six seven", {"path": "a.txt"}),
        ("guide/install.md#1", "Install", "first do this", {"path": "guide/install.md"}),
        ("guide/install.md#2", "Install > Then", "that", {"path": "guide/install.md"}),
    ]


def test_ids_do_not_depend_on_where_the_folder_lies(tmp_path: Path, chunking: Chunking) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "note.md").write_text("# Title\nsome words")
    here, there = (list(TextFolder(tmp_path / place, chunking).documents()) for place in ("here", "there"))
    assert here == there


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, chunking: Chunking) -> None:
    with pytest.raises(InvalidInput, match="nowhere: No such file"):
        list(TextFolder(tmp_path / "nowhere", chunking).documents())


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path, chunking: Chunking) -> None:
    (tmp_path / "old.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"old\.txt: not UTF-8"):
        list(TextFolder(tmp_path, chunking).documents())


def test_a_file_name_that_is_not_utf8_is_named(tmp_path: Path, chunking: Chunking) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("words")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    with pytest.raises(InvalidInput, match="is not UTF-8"):
        list(TextFolder(tmp_path, chunking).documents())
