"""The listwise loss of a static embedder and its gradient, in closed form.

A text's vector is e = u / |u|, u the sum of its pieces' vectors v, each times exp(w). With p the softmax of a query's
cosines over the passages and t what it should be, the loss is the Kullback-Leibler divergence of p from t, ListNet's
top-one form (Cao et al., ICML 2007). Its gradient by the cosines is (p - t) / temperature, by u what is left of the
gradient by e when its part along e is taken out, divided by |u|; the rest is the chain rule of a sum.
"""

from dataclasses import dataclass

import numpy as np

from training.first_stage.table import Bags, Table
from training.static_embedder.files import Rows

_TINY = np.float32(1e-12)


@dataclass(frozen=True)
class Gradient:
    """By the used rows of a table: ``vectors`` [used, dimension], both weights [used]."""

    vectors: Rows
    query_weights: Rows
    passage_weights: Rows


@dataclass(frozen=True)
class _Pooled:
    """Texts as unit vectors [texts, dimension], with what their gradient needs."""

    bags: Bags
    vectors: Rows
    weights: Rows
    lengths: Rows
    units: Rows


def divergence(table: Table, queries: Bags, passages: Bags, wanted: Rows, temperature: float) -> tuple[float, Gradient]:
    """Mean over the queries, in nats, and its gradient; ``wanted`` has shape [queries, passages], rows sum to 1."""
    asked = _pool(table, queries, table.query_weights)
    found = _pool(table, passages, table.passage_weights)
    shares = softmax(asked.units @ found.units.T / temperature)
    by_cosine = np.asarray((shares - wanted) / (temperature * len(wanted)), dtype=np.float32)
    query_part = _back(asked, by_cosine @ found.units)
    passage_part = _back(found, by_cosine.T @ asked.units)
    return _kl(wanted, shares), Gradient(query_part[0] + passage_part[0], query_part[1], passage_part[1])


def softmax(values: Rows) -> Rows:
    """Shares of each row, which sum to 1."""
    shares = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True), dtype=np.float32)


def _pool(table: Table, bags: Bags, log_weights: Rows) -> _Pooled:
    vectors, weights = table.vectors[bags.used], np.exp(log_weights[bags.used])
    sums = (bags.counts * weights) @ vectors
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), _TINY)
    return _Pooled(bags, vectors, weights, lengths, sums / lengths)


def _back(pooled: _Pooled, by_unit: Rows) -> tuple[Rows, Rows]:
    """The gradient by vectors [used, dimension] and by logarithms of weights [used], from that by unit vectors."""
    along = (by_unit * pooled.units).sum(axis=1, keepdims=True)
    by_sum = (by_unit - along * pooled.units) / pooled.lengths
    by_row = pooled.bags.counts.T @ by_sum
    return pooled.weights[:, None] * by_row, pooled.weights * (by_row * pooled.vectors).sum(axis=1)


def _kl(wanted: Rows, shares: Rows) -> float:
    ratios = np.log(np.maximum(wanted, _TINY)) - np.log(np.maximum(shares, _TINY))
    return float((wanted * ratios).sum(axis=1).mean())
