from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from service.corpus.beir import BeirFolder
from service.corpus.candidate_lists import given_lists
from service.errors import InvalidInput


@pytest.fixture
def folder(tmp_path: Path) -> BeirFolder:
    root = tmp_path / "moon"
    (root / "qrels").mkdir(parents=True)
    (root / "runs").mkdir()
    corpus = [{"_id": f"d{n}", "title": "", "text": f"passage {n}", "source": "test"} for n in range(4)]
    (root / "corpus.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(d) + "\n" for d in corpus).encode()))
    (root / "queries.jsonl").write_text('{"_id": "q1", "text": "tides"}\n{"_id": "q2", "text": "phases"}\n')
    (root / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")
    (root / "qrels" / "test_full.tsv").write_text("q1\td1\t2\n")
    (root / "runs" / "bm25.tsv.gz").write_bytes(
        gzip.compress(b"query-id\tcorpus-id\tscore\nq2\td3\t1.5\nq2\td0\t2.5\n")
    )
    return BeirFolder(root)


def test_documents_keep_what_else_they_say_as_metadata(folder: BeirFolder) -> None:
    assert folder.name == "moon"
    assert folder.count() == 4
    first = next(folder.documents())
    assert (first.id, first.text, first.metadata) == ("d0", "passage 0", {"source": "test"})


def test_judgements_are_read_by_name_with_or_without_a_header(folder: BeirFolder) -> None:
    assert folder.queries() == {"q1": "tides", "q2": "phases"}
    assert folder.qrels() == {"q1": {"d1": 2, "d2": 0}}
    assert folder.qrels("test_full") == folder.qrels("test_full.tsv") == {"q1": {"d1": 2}}


def test_a_missing_part_says_what_is_there(folder: BeirFolder) -> None:
    with pytest.raises(InvalidInput, match=r"qrels/dev\.tsv: not found; there is: test\.tsv, test_full\.tsv"):
        folder.qrels("dev")
    with pytest.raises(InvalidInput, match="there is: nothing"):
        BeirFolder(folder.path / "elsewhere").qrels()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("q1 0 d1 2", r"test\.tsv:2: 3 tab-separated fields were expected, not 1"),
        ("q1\td1\tgood", r"test\.tsv:2: not a number: 'good'"),
        ("q1\td1\tnan", r"test\.tsv:2: not a number"),
        ("q1\td1\t1.5", r"test\.tsv:2: a grade must be a whole number"),
    ],
)
def test_a_broken_judgement_is_named(folder: BeirFolder, row: str, message: str) -> None:
    (folder.path / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{row}\n")
    with pytest.raises(InvalidInput, match=message):
        folder.qrels()


def test_a_query_without_a_text_is_named(folder: BeirFolder) -> None:
    (folder.path / "queries.jsonl").write_text('{"_id": "q1"}\n')
    with pytest.raises(InvalidInput, match=r"queries\.jsonl:1: a query needs"):
        folder.queries()


def test_a_run_gives_lists_by_falling_score_with_texts(folder: BeirFolder) -> None:
    (given,) = given_lists(folder, "bm25")
    assert (given.query_id, given.query) == ("q2", "phases")
    found = [(c.document.id, c.document.text, c.rank, c.score) for c in given.candidates]
    assert found == [("d0", "passage 0", 1, 2.5), ("d3", "passage 3", 2, 1.5)]


def test_candidates_bring_their_own_texts(folder: BeirFolder) -> None:
    record = {"query_id": "q9", "query": "eclipse", "candidates": [{"_id": "x", "text": "shadow", "score": 3}]}
    (folder.path / "candidates.jsonl").write_text(json.dumps(record))
    (given,) = given_lists(folder)
    assert given.candidates[0].document.text == "shadow"
    assert given.candidates[0].score == 3.0


def test_lists_that_do_not_fit_the_folder_are_refused(folder: BeirFolder) -> None:
    with pytest.raises(InvalidInput, match=r"no candidates\.jsonl"):
        list(given_lists(folder))
    for row, message in [("q3\td1\t1", "query 'q3'"), ("q1\td9\t1", "document 'd9'")]:
        (folder.path / "runs" / "odd.tsv").write_text(row)
        with pytest.raises(InvalidInput, match=message):
            list(given_lists(folder, "odd"))
    (folder.path / "candidates.jsonl").write_text('{"query_id": "q1", "query": "a"}')
    with pytest.raises(InvalidInput, match=r"candidates\.jsonl:1: not a list of candidates"):
        list(given_lists(folder))
