from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

from tests.training import made
from training.errors import UnusableInput
from training.held_out import answerable, compared, split
from training.settings import HeldOutSettings

pytestmark = pytest.mark.needs("torch")

SETTINGS = HeldOutSettings(share=0.2, most=100, depth=10)


def test_no_query_both_trains_and_measures() -> None:
    train, lists = split(made.source(), SETTINGS, seed=3)

    assert len(lists.queries) == 6
    assert len(train.relevant) == 24
    assert not set(train.relevant) & set(lists.queries)


def test_the_split_is_that_of_the_seed() -> None:
    parts = [set(split(made.source(), SETTINGS, seed)[1].queries) for seed in (3, 3, 4)]

    assert parts[0] == parts[1] != parts[2]


def test_lists_are_the_first_stages_with_or_without_what_is_relevant() -> None:
    _, lists = split(made.source(), SETTINGS, seed=3)

    assert all(len(set(found)) == 10 for found in lists.order.values())
    assert all(lists.texts[name] == made.source().corpus[name] for found in lists.order.values() for name in found)


def test_only_queries_that_can_be_answered_count() -> None:
    source = made.source()
    relevant = {
        **source.relevant,
        "q0": {"d0": 0},
        "q1": {"elsewhere": 1},
        "unknown": {"d2": 1},
        "q2": {"d2": 2, "d3": 0},
    }

    found = answerable(replace(source, relevant=relevant))

    assert found.keys() == source.relevant.keys() - {"q0", "q1"}
    assert found["q2"] == {"d2": 2}


def test_too_few_queries_are_refused() -> None:
    source = made.source()
    few = dict(list(source.relevant.items())[:9])
    with pytest.raises(UnusableInput, match="only 9 queries"):
        split(replace(source, relevant=few), SETTINGS, seed=3)


def test_too_few_other_documents_are_refused() -> None:
    source = made.source()
    wide = {**source.relevant, "q0": dict.fromkeys(list(source.corpus)[:21], 1)}
    with pytest.raises(UnusableInput, match="40 documents, up to 21 of them relevant"):
        split(replace(source, relevant=wide), SETTINGS, seed=3)


def test_figures_compare_two_orders_of_the_same_lists() -> None:
    _, lists = split(made.source(), replace(SETTINGS, depth=40), seed=3)
    best = {
        query: sorted(found, key=lambda name: name not in lists.qrels[query]) for query, found in lists.order.items()
    }
    worst = {query: found[::-1] for query, found in best.items()}

    figures = compared(lists, worst, best)

    assert (figures.before, figures.after) == (0.0, 1.0)
    assert figures.difference.mean == pytest.approx(1.0)
    assert "6 queries held out" in str(figures)
    assert "too few queries to tell" in str(figures)
    assert "95% interval" in str(replace(figures, queries=20))
