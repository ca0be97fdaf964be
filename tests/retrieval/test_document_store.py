from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import Document, TokenIds
from service.errors import IndexCorrupt, InvalidInput
from service.retrieval.document_store import DocumentReader, DocumentWriter, cleaned, pack_tokens, unpack_tokens
from tests.retrieval.fruit import FRUIT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "documents with ? and #.sqlite"


def test_documents_come_back_as_they_went_in(path: Path) -> None:
    tokens: list[TokenIds | None] = [np.array([1, 70_000], np.uint32), None, None, np.array([], np.uint32)]
    with DocumentWriter(path) as writer:
        writer.add(FRUIT[:3], tokens[:3])
        writer.add(FRUIT[3:], tokens[3:])
        writer.finish()
        assert writer.count == 4
    reader = DocumentReader(path)
    assert reader.count == 4
    found = reader.fetch([3, 0, 2])
    reader.close()
    assert {row: document for row, (document, _) in found.items()} == {0: FRUIT[0], 2: FRUIT[2], 3: FRUIT[3]}
    first, last = found[0][1], found[3][1]
    assert first is not None
    assert last is not None
    assert first.tolist() == [1, 70_000]
    assert last.tolist() == []


def test_an_id_repeated_in_a_batch_is_named(path: Path) -> None:
    with DocumentWriter(path) as writer, pytest.raises(InvalidInput, match="'a'") as refused:
        writer.add([FRUIT[0], FRUIT[0]], [None, None])
    assert refused.value.field == "documents[1].id"


def test_an_id_repeated_in_a_later_batch_is_named(path: Path) -> None:
    with DocumentWriter(path) as writer:
        writer.add(FRUIT, [None] * 4)
        with pytest.raises(InvalidInput, match="'a'") as refused:
            writer.add(FRUIT[:1], [None])
    assert refused.value.field == "documents[4].id"


@pytest.mark.parametrize("value", [math.nan, object(), {1, 2}])
def test_metadata_that_is_not_json_is_refused(path: Path, value: object) -> None:
    with DocumentWriter(path) as writer, pytest.raises(InvalidInput) as refused:
        writer.add([Document("x", "text", metadata={"value": value})], [None])
    assert refused.value.field == "documents[0].metadata"


def test_what_no_encoding_carries_is_replaced(path: Path) -> None:
    broken = Document("x", "a\x00b\ud800c", title="\udfff", metadata={"k": "\ud800"})
    with DocumentWriter(path) as writer:
        writer.add([cleaned(broken, 0)], [None])
    reader = DocumentReader(path)
    document, _ = reader.fetch([0])[0]
    reader.close()
    assert document == Document("x", "a\ufffdb\ufffdc", title="\ufffd", metadata={"k": "\ufffd"})


@pytest.mark.parametrize("name", ["", "a\x00", "\ud800"])
def test_an_id_is_refused_rather_than_changed(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        cleaned(Document(name, "text"), 5)
    assert refused.value.field == "documents[5].id"


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_tokens_survive_packing(ids: list[int]) -> None:
    array = np.array(ids, dtype=np.uint32)
    packed = pack_tokens(array)
    assert unpack_tokens(packed).tolist() == ids
    assert len(packed) == 1 + len(ids) * (2 if max(ids, default=0) < 2**16 else 4)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"This is not SQLite. " * 100)
    with pytest.raises(IndexCorrupt, match="not a document store"):
        DocumentReader(path)


def test_a_missing_file_is_refused_and_not_made(path: Path) -> None:
    with pytest.raises(IndexCorrupt):
        DocumentReader(path)
    assert not path.exists()


def test_a_foreign_database_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    with pytest.raises(IndexCorrupt, match="no such table"):
        DocumentReader(path)
