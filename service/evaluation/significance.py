"""Whether one order is better than another, or only luckier with the queries that were asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
_LOW, _HIGH = 2.5, 97.5
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean difference over the queries, its 95% interval from ``low`` to ``high``, and the two-sided p-value."""

    mean: float
    low: float
    high: float
    p: float


def paired_bootstrap(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0) -> Difference:
    """``ours - theirs``, each of shape [queries] and in the same order of queries.

    The queries are drawn anew ``RESAMPLES`` times. The interval is that of the means drawn; p is the share of draws
    from differences moved to a mean of 0 that are as far from 0 as what was seen (Sakai, SIGIR 2006).
    """
    differences = np.subtract(ours, theirs)
    drawn = np.random.default_rng(seed).integers(len(differences), size=(RESAMPLES, len(differences)))
    means = differences[drawn].mean(axis=1)
    seen = float(differences.mean())
    as_far = int((np.abs(means - seen) >= abs(seen) - _ROUNDING).sum())
    low, high = np.percentile(means, [_LOW, _HIGH])
    return Difference(seen, float(low), float(high), (1 + as_far) / (1 + RESAMPLES))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests made at once, raised so that the chance of any false alarm is bounded (Holm, 1979)."""
    raised = [0.0] * len(p_values)
    highest = 0.0
    for place, test in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[test] * (len(p_values) - place)))
        raised[test] = highest
    return raised
