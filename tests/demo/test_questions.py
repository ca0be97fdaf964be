from __future__ import annotations

import sys
from collections import Counter

import pytest

from service.corpus.beir import BeirFolder
from service.corpus.stdlib_docs import StdlibDocs
from service.demo import JUDGED

QUESTIONS = BeirFolder(JUDGED)


def test_there_are_many_questions_each_asked_once_and_judged() -> None:
    queries, qrels = QUESTIONS.queries(), QUESTIONS.qrels()
    assert len(queries) >= 80
    assert len(set(queries.values())) == len(queries)
    assert qrels.keys() == queries.keys()
    assert all(max(grades.values()) == 2 for grades in qrels.values())
    assert {grade for grades in qrels.values() for grade in grades.values()} == {1, 2}


def test_questions_are_spread_over_the_library() -> None:
    modules = Counter(name.split(".")[0] for grades in QUESTIONS.qrels().values() for name in grades)
    assert len(modules) > 60
    assert modules.most_common(1)[0][1] < 0.1 * modules.total()


def test_every_judged_passage_is_in_the_corpus() -> None:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("judged for Python 3.11; other versions add, rename and drop parts of the library")
    known = {document.id for document in StdlibDocs().documents()}
    judged = {name for grades in QUESTIONS.qrels().values() for name in grades}
    assert judged <= known
