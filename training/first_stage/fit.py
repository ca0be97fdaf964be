"""Fitting a static embedder to scored lists, no further from where it starts than helps lists that it has not seen."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.first_stage.batches import Batch, Lists, in_order, shuffled, side_by_side
from training.first_stage.gradient import Gradient, divergence
from training.first_stage.recipe import Recipe
from training.first_stage.table import Cutter, Table
from training.static_embedder.files import Rows

_HELD_OUT_EVERY = 10
_TINY = 1e-12

Report = Callable[[int, float, float], None]
"""Hears the epoch and the mean divergence, in nats, of lists learnt from and of lists held out."""


def fit(start: Table, sets: Sequence[Lists], recipe: Recipe, report: Report) -> Table:
    """The table after the epoch whose held-out lists are nearest to the reranker's; ``start`` if none is nearer.

    Of each set every tenth list is held out.
    """
    held_out = [one[::_HELD_OUT_EVERY] for one in sets]
    learnt = [[each for place, each in enumerate(one) if place % _HELD_OUT_EVERY] for one in sets]
    cutter, chance = Cutter(start.pieces), np.random.default_rng(recipe.seed)
    table, descent = start.copy(), _Descent(start, recipe)
    best, lowest = start, _mean_divergence(start, held_out, cutter, recipe)
    report(0, _mean_divergence(start, learnt, cutter, recipe), lowest)
    for epoch in range(1, recipe.epochs + 1):
        batches = (side_by_side(lists, cutter, recipe) for lists in shuffled(learnt, recipe.lists, chance))
        seen = [descent.step(table, batch) for batch in batches]
        found = _mean_divergence(table, held_out, cutter, recipe)
        report(epoch, float(np.mean(seen)), found)
        if found < lowest:
            best, lowest = table.copy(), found
    return best


class _Descent:
    """AdaGrad (Duchi et al., JMLR 2011) with a step size for each piece: the more it has moved, the smaller."""

    def __init__(self, start: Table, recipe: Recipe) -> None:
        self._start, self._recipe = start, recipe
        self._vectors, self._query_weights, self._passage_weights = (
            np.zeros(len(start.pieces), np.float32) for _ in range(3)
        )

    def step(self, table: Table, batch: Batch) -> float:
        """Moves the table; returns the divergence before."""
        loss, gradient = _divergence(table, batch, self._recipe)
        used, start = batch.queries.used, self._start
        self._move(table.vectors, start.vectors, self._vectors, gradient.vectors, used)
        self._move(table.query_weights, start.query_weights, self._query_weights, gradient.query_weights, used)
        self._move(table.passage_weights, start.passage_weights, self._passage_weights, gradient.passage_weights, used)
        return loss

    def _move(self, values: Rows, start: Rows, squares: Rows, gradient: Rows, used: NDArray[np.intp]) -> None:
        slopes = (gradient + self._recipe.pull * (values[used] - start[used])).reshape(len(used), -1)
        squares[used] += (slopes**2).mean(axis=1)
        steps = slopes / np.sqrt(squares[used] + _TINY)[:, None]
        values[used] -= self._recipe.rate * steps.reshape(gradient.shape)


def _divergence(table: Table, batch: Batch, recipe: Recipe) -> tuple[float, Gradient]:
    return divergence(table, batch.queries, batch.passages, batch.wanted, recipe.temperature)


def _mean_divergence(table: Table, sets: Sequence[Lists], cutter: Cutter, recipe: Recipe) -> float:
    batches = [side_by_side(lists, cutter, recipe) for lists in in_order(sets, recipe.lists)]
    return float(np.mean([_divergence(table, batch, recipe)[0] for batch in batches]))
