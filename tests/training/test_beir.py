from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from training.beir import read_corpus, read_qrels, read_queries
from training.errors import UnusableInput

LINE = '{"_id": "d1", "title": "Bees", "text": "make honey"}\n'


def test_files_may_be_gzipped_or_not(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(LINE.encode()))
    (tmp_path / "queries.jsonl").write_text(LINE)

    assert read_corpus(tmp_path) == {"d1": "Bees make honey"}
    assert read_queries(tmp_path) == {"d1": "make honey"}


@pytest.mark.parametrize("missing", ["corpus", "queries"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    read = read_corpus if missing == "corpus" else read_queries
    with pytest.raises(UnusableInput, match=re.escape(f"neither {missing}.jsonl nor {missing}.jsonl.gz")):
        read(tmp_path)


def test_a_line_that_is_no_record_is_told(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text("d1\tBees\n")
    with pytest.raises(UnusableInput, match="not one JSON record a line"):
        read_corpus(tmp_path)


def test_missing_judgements_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="there are no judgements"):
        read_qrels(tmp_path / "qrels" / "train.tsv")
