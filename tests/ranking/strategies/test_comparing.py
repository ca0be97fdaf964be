from __future__ import annotations

import math

from service.ranking.strategies.comparing import ranked


def test_higher_scores_come_first() -> None:
    assert ranked((7, 3, 5), [0.1, 0.9, 0.5]) == (3, 5, 7)


def test_nan_is_worse_than_minus_infinity() -> None:
    assert ranked((1, 2, 3, 4), [math.nan, -math.inf, math.nan, 0.0]) == (4, 2, 1, 3)


def test_ties_keep_the_order_shown() -> None:
    assert ranked((9, 4, 6, 1), [1.0, 2.0, 1.0, 2.0]) == (4, 1, 9, 6)
