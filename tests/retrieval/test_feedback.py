"""Moving a query's vector: worked out by hand where it can be, against numbers where it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from service.deadline import Deadline
from service.domain import Candidate, Document, Ranking, Retrieved
from service.errors import EmbedderError
from service.retrieval.feedback import RATE, TEMPERATURE, Feedback, joined, moved
from tests.retrieval.fruit import FRUIT, AxisEmbedder

rng = np.random.default_rng(5)


def divergence(vector: np.ndarray, passages: np.ndarray, liked: np.ndarray) -> float:
    scores = passages @ vector / TEMPERATURE
    log_weights = scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())
    return float((liked * (np.log(liked) - log_weights)).sum())


def units(count: int, dimension: int = 8) -> np.ndarray:
    vectors = rng.normal(size=(count, dimension))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def test_the_retrievers_distribution_comes_closer_to_the_rerankers() -> None:
    (query,), passages = units(1), units(30)
    liked = rng.dirichlet(np.ones(30))
    vector = moved(query, passages, liked)
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert divergence(vector, passages, liked) < divergence(query, passages, liked)


def test_a_step_goes_down_the_gradient() -> None:
    (query,), passages = units(1), units(6)
    liked = rng.dirichlet(np.ones(6))
    numeric = np.array(
        [
            (divergence(query + step, passages, liked) - divergence(query - step, passages, liked)) / 2e-3
            for step in 1e-3 * np.eye(8)
        ]
    )
    once = moved(query, passages, liked, steps=1)
    by_hand = query - RATE * numeric
    assert once == pytest.approx(by_hand / np.linalg.norm(by_hand), abs=1e-3)


def test_a_reranker_that_agrees_moves_nothing() -> None:
    (query,), passages = units(1), units(10)
    weights = np.exp(passages @ query / TEMPERATURE)
    assert moved(query, passages, weights / weights.sum()) == pytest.approx(query, abs=1e-5)


@pytest.mark.anyio
async def test_the_vector_goes_toward_the_passage_that_was_ranked_first() -> None:
    candidates = [Candidate(document, rank, 1.0) for rank, document in enumerate(FRUIT, 1)]
    ranking = Ranking((2, 0, 1, 3), (0.9, 0.2, 0.1, 0.05), None, None, None)
    embedder = AxisEmbedder()
    vectors = (await embedder.embed_passages(FRUIT, Deadline.never())).dense
    retrieved = Retrieved(tuple(candidates), "v1", 1.0, 2.0, vectors=vectors)
    query = await Feedback(embedder).vectors("apple or cherry", retrieved, ranking, Deadline.never())
    before = await embedder.embed_query("apple or cherry", Deadline.never())
    assert query.dense[2] > before.dense[2]
    assert query.dense[0] < before.dense[0]
    assert query.sparse is not None
    assert query.sparse[0].tolist() == [0, 2]


def found(vectors: np.ndarray | None) -> Retrieved:
    return Retrieved((Candidate(FRUIT[0], 1, 1.0),), "v1", 1.0, 2.0, vectors=vectors)


@pytest.mark.anyio
async def test_an_encoder_that_fails_is_an_error() -> None:
    ranking = Ranking((0,), (0.5,), None, None, None)
    with pytest.raises(EmbedderError):
        await Feedback(AxisEmbedder(broken=True)).vectors("q", found(np.ones((1, 4))), ranking, Deadline.never())
    with pytest.raises(EmbedderError, match="without vectors"):
        await Feedback(AxisEmbedder()).vectors("q", found(None), ranking, Deadline.never())


def test_what_only_the_second_search_found_stands_behind_and_is_marked() -> None:
    first = Retrieved((Candidate(Document("a", ""), 1, 0.9), Candidate(Document("b", ""), 2, 0.8)), "v1", 1.0, 2.0)
    again = Retrieved((Candidate(Document("c", ""), 1, 0.7), Candidate(Document("a", ""), 2, 0.6)), "v1", 3.0, 4.0)
    both = joined(first, again)
    assert [(each.document.id, each.rank, each.from_feedback) for each in both.candidates] == [
        ("a", 1, False),
        ("b", 2, False),
        ("c", 1, True),
    ]
    assert (both.embed_ms, both.retrieve_ms) == (4.0, 6.0)
