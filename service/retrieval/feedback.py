"""Relevance feedback from a reranker: the query's vector is moved toward what the reranker liked.

The retriever's softmax over the candidates is brought closer to the reranker's by gradient steps on the query vector
alone, as ReFIT (arXiv 2305.11744) does, and FIRST (arXiv 2406.15657) with the logits of one token. The gradient of the
Kullback-Leibler divergence is closed, so that no model and no automatic differentiation is needed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.deadline import Deadline
from service.domain import Ranking, Retrieved
from service.errors import EmbedderError
from service.retrieval.embedding.embedder import Embedder, QueryVectors, Vectors

TEMPERATURE = 0.1
"""What cosines are divided by, so that they tell passages apart as much as logits do."""
STEPS = 10
RATE = 0.02
"""The three were chosen on train judgements of three sets: steps twice as far begin to lose relevant passages."""


class Feedback:
    """Makes the vectors of second searches: ``embedder`` is the one that the indexes were built with."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def vectors(self, query: str, found: Retrieved, ranking: Ranking, deadline: Deadline) -> QueryVectors:
        """The query's vectors, the dense one moved toward what ``ranking`` of the candidates ``found`` says.

        Scores are taken as log odds, of which the reranker's probabilities are the softmax.

        Raises:
            EmbedderError, DeadlineExceeded: the query could not be embedded, now or when the candidates were found.
        """
        if found.vectors is None:
            raise EmbedderError("the candidates were found without vectors, so there is none to move toward")
        vectors = await self._embedder.embed_query(query, deadline)
        scores = np.array(ranking.scores)
        odds = scores / (1 - scores)
        dense = moved(vectors.dense, found.vectors[list(ranking.order)], odds / odds.sum())
        return replace(vectors, dense=dense)


def joined(found: Retrieved, again: Retrieved) -> Retrieved:
    """What was found, then what only the second search found, marked; with the times of both, and no vectors."""
    known = {candidate.document.id for candidate in found.candidates}
    new = (candidate for candidate in again.candidates if candidate.document.id not in known)
    return replace(
        found,
        candidates=(*found.candidates, *(replace(candidate, from_feedback=True) for candidate in new)),
        embed_ms=found.embed_ms + again.embed_ms,
        retrieve_ms=found.retrieve_ms + again.retrieve_ms,
        vectors=None,
    )


def moved(query: Vectors, passages: Vectors, liked: NDArray[np.float64], *, steps: int = STEPS) -> Vectors:
    """A unit vector, shape [dimension], whose softmax over ``passages``, shape [n, dimension], is closer to ``liked``.

    ``liked`` are the reranker's probabilities of the passages, which sum to 1. In each step, with p the softmax of the
    inner products, the query loses ``RATE / TEMPERATURE * (p - liked) @ passages`` and is made a unit vector again.
    """
    vector, target = query, liked.astype(np.float32)
    for _ in range(steps):
        weights = _softmax(passages @ vector / TEMPERATURE)
        vector = _unit(vector - RATE / TEMPERATURE * (weights - target) @ passages)
    return vector


def _unit(vector: NDArray[np.floating[Any]]) -> Vectors:
    unit: Vectors = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def _softmax(values: Vectors) -> Vectors:
    weights = np.exp(values - values.max())
    share: Vectors = weights / weights.sum()
    return share
