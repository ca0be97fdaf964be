from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import InvalidInput
from tests.training import made
from training.collection import Collection
from training.held_out import HeldOut, compared
from training.held_out import split as split_collection


def split(collection: Collection, seed: int = 3) -> tuple[Collection, HeldOut]:
    return split_collection(Path("my-set"), collection, seed, share=0.2)


def test_no_query_is_both_trained_on_and_measured() -> None:
    train, held_out = split(made.collection())

    assert len(held_out.lists) == 6
    assert len(train.qrels) == 24
    assert not set(train.qrels) & set(held_out.lists)


def test_the_split_depends_on_the_seed_only() -> None:
    parts = [set(split(made.collection(), seed)[1].lists) for seed in (3, 3, 4)]

    assert parts[0] == parts[1] != parts[2]


def test_too_few_judged_queries_are_an_error() -> None:
    collection = made.collection()
    few = dict(list(collection.qrels.items())[:9])
    with pytest.raises(InvalidInput, match=r"my-set/qrels/train\.tsv: 9 queries have a relevant document"):
        split(replace(collection, qrels=few))


def test_figures_compare_two_orders_of_the_same_lists() -> None:
    _, held_out = split(made.collection())
    best = {
        query: sorted(found, key=lambda name: name not in held_out.qrels[query])
        for query, found in held_out.lists.items()
    }
    worst = {query: found[::-1] for query, found in best.items()}

    figures = compared(held_out, worst, best)

    assert (figures.before, figures.after) == (0.0, 1.0)
    assert figures.difference.mean == pytest.approx(1.0)
    assert "6 held-out queries" in str(figures)
    assert "too few queries" in str(figures)
    assert "change +1.000 (95%: " in str(replace(figures, queries=20))
