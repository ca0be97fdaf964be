from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from service.domain import Document
from service.errors import IndexCorrupt, IndexFolderError, InvalidInput
from service.retrieval.change_log import Change, Delete, Put, append, read
from tests.retrieval.fruit import FRUIT

FIRST: list[Change] = [Put(FRUIT[0]), Delete("b")]
SECOND: list[Change] = [Put(Document("\u2603", "line\nbreak", metadata={"n": [1, None]}))]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "changes.log"


def test_what_is_appended_is_read_in_order(log: Path) -> None:
    assert read(log) == []
    append(log, FIRST)
    append(log, SECOND)
    assert read(log) == FIRST + SECOND


def test_an_append_cut_at_any_byte_is_not_there_and_the_next_one_is(log: Path) -> None:
    append(log, FIRST)
    before = log.read_bytes()
    append(log, SECOND)
    whole = log.read_bytes()
    for cut in range(len(before), len(whole)):
        log.write_bytes(whole[:cut])
        assert read(log) == FIRST
        append(log, [Delete("c")])
        assert read(log) == [*FIRST, Delete("c")]


def test_damage_is_noticed_at_every_byte(log: Path) -> None:
    append(log, FIRST)
    append(log, SECOND)
    whole = log.read_bytes()
    for position in range(len(whole) - 1):  # without its last byte, the last append looks like one that was cut
        damaged = bytearray(whole)
        damaged[position] ^= 1
        log.write_bytes(damaged)
        with pytest.raises(IndexCorrupt, match="damaged"):
            read(log)
        with pytest.raises(IndexCorrupt, match="damaged"):
            append(log, FIRST)


def test_metadata_that_is_not_json_is_refused(log: Path) -> None:
    with pytest.raises(InvalidInput, match="not JSON"):
        append(log, [Put(Document("a", "text", metadata={"n": float("nan")}))])
    assert read(log) == []


def test_a_disk_that_does_not_take_the_change_acknowledges_nothing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(log, FIRST)

    def failing(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(IndexFolderError, match="Input/output error"):
        append(log, SECOND)
    assert read(log) == FIRST


def test_the_disk_is_waited_for_with_the_whole_change_in_the_file(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bytes]] = []

    def noting(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, log.read_bytes()))

    monkeypatch.setattr(os, "fsync", noting)
    append(log, FIRST)
    assert synced == [(log.name, log.read_bytes()), (log.parent.name, log.read_bytes())]


def test_a_log_that_cannot_be_read_is_corrupt(log: Path) -> None:
    log.mkdir()
    with pytest.raises(IndexCorrupt, match="cannot be read"):
        read(log)
