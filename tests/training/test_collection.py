from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import InvalidInput
from tests.training import made
from training.collection import bm25, read_collection


def test_a_beir_folder_is_read(tmp_path: Path) -> None:
    assert read_collection(made.write_set(tmp_path / "set")) == made.collection()


def test_missing_train_judgements_are_an_error(tmp_path: Path) -> None:
    folder = made.write_set(tmp_path / "set")
    (folder / "qrels" / "train.tsv").rename(folder / "qrels" / "test.tsv")
    with pytest.raises(InvalidInput, match=r"train\.tsv: not found"):
        read_collection(folder)


def test_only_positive_grades_of_known_queries_and_documents_count() -> None:
    collection = made.collection()
    changed = {"q0": {"d0": 0}, "q1": {"elsewhere": 1}, "unknown": {"d2": 1}, "q2": {"d2": 2, "d3": 0}}

    found = replace(collection, qrels={**collection.qrels, **changed}).answerable()

    assert found.keys() == collection.qrels.keys() - {"q0", "q1"}
    assert found["q2"] == {"d2": 2}


def test_bm25_ranks_the_document_with_all_words_first() -> None:
    lists = bm25(made.collection(), ["q3", "q7"], depth=5)

    assert {query: found[0] for query, found in lists.items()} == {"q3": "d3", "q7": "d7"}
    assert all(len(set(found)) == 5 for found in lists.values())


def test_bm25_fills_a_list_with_documents_that_do_not_match() -> None:
    collection = replace(made.collection(), queries={"q0": "nowhere"})

    assert bm25(collection, ["q0"], depth=3) == {"q0": ["d0", "d1", "d2"]}
    assert len(bm25(collection, ["q0"], depth=100)["q0"]) == made.DOCUMENTS
