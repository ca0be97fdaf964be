from __future__ import annotations

import numpy as np
import pytest

from service.evaluation.significance import holm, paired_bootstrap


def test_no_difference_is_none() -> None:
    found = paired_bootstrap([0.5, 0.2, 0.9], [0.5, 0.2, 0.9])
    assert (found.mean, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_small_gain_of_every_query_is_significant() -> None:
    found = paired_bootstrap([0.5, 0.3, 0.9, 0.4, 0.6, 0.8, 0.7, 0.2], [0.4, 0.2, 0.8, 0.3, 0.5, 0.7, 0.6, 0.1])
    assert found.mean == pytest.approx(0.1)
    assert [found.low, found.high] == pytest.approx([0.1, 0.1])
    assert found.p < 0.001


def test_one_great_gain_among_losses_is_luck() -> None:
    found = paired_bootstrap([1.0, 0.1, 0.1, 0.1, 0.1, 0.1], [0.0, 0.2, 0.2, 0.2, 0.2, 0.2])
    assert found.mean > 0
    assert found.low < 0 < found.high
    assert found.p > 0.3


def test_interval_and_p_are_those_of_the_normal_distribution_where_there_are_many_queries() -> None:
    differences = np.random.default_rng(1).normal(0.02, 0.2, 500)
    error = differences.std() / 500**0.5
    found = paired_bootstrap(differences.tolist(), [0.0] * 500)
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.002)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.002)


def test_the_same_seed_gives_the_same_figures() -> None:
    ours, theirs = [0.5, 0.2, 0.9, 0.1], [0.4, 0.4, 0.8, 0.3]
    assert paired_bootstrap(ours, theirs, seed=3) == paired_bootstrap(ours, theirs, seed=3)
    assert paired_bootstrap(ours, theirs, seed=3) != paired_bootstrap(ours, theirs, seed=4)


def test_several_tests_raise_each_p_as_holm_does() -> None:
    assert holm([0.04, 0.01, 0.03]) == [pytest.approx(0.06), pytest.approx(0.03), pytest.approx(0.06)]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
