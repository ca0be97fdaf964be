"""A pipeline over a first stage and an engine of the tests' own, and an observer that keeps what it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.cache.answers import AnswerCache, Lifetimes
from service.cache.store import Store
from service.deadline import Deadline
from service.domain import (
    Candidate,
    DegradedReason,
    Document,
    RerankOptions,
    RetrievalMode,
    Retrieved,
    SearchRequest,
)
from service.engine.scorer import Scorer
from service.observability.events import Event
from service.pipeline import Pipeline
from service.ranking.prompt import PromptBuilder
from service.ranking.ranker import Ranker
from service.retrieval.embedding.embedder import QueryVectors
from service.retrieval.feedback import Feedback
from tests.reranking import LISTWISE, unbounded
from tests.retrieval.fruit import AxisEmbedder

BUILDER = PromptBuilder(LISTWISE)
COUNT = 30


@dataclass
class Recorder:
    """An observer that keeps what it sees."""

    events: list[Event] = field(default_factory=list)

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Event]) -> Sequence[Event]:
        return [event for event in self.events if isinstance(event, kind)]


class Shelf:
    """A first stage that always finds the same passages."""

    name = "shelf"
    version = "v1"

    def __init__(self, degraded: DegradedReason | None = None) -> None:
        self._degraded = degraded

    async def retrieve(
        self, query: str, count: int, mode: RetrievalMode, deadline: Deadline, *, vectors: QueryVectors | None = None
    ) -> Retrieved:
        found = [Candidate(Document(f"d{n}", f"passage {n}"), n + 1, 1 / (n + 1)) for n in range(min(count, COUNT))]
        return Retrieved(tuple(found), self.version, 1.0, 2.0, self._degraded, _vectors(found))

    async def close(self) -> None: ...


class SecondShelf(Shelf):
    """A shelf where a moved vector finds other passages: half of those before it, and as many new ones."""

    slow_ms = 1.0

    async def retrieve(
        self, query: str, count: int, mode: RetrievalMode, deadline: Deadline, *, vectors: QueryVectors | None = None
    ) -> Retrieved:
        first = 0 if vectors is None else COUNT // 2
        numbers = range(first, first + COUNT)
        found = [Candidate(Document(f"d{n}", f"passage {n}"), rank, 1 / rank) for rank, n in enumerate(numbers, 1)]
        return Retrieved(tuple(found), self.version, self.slow_ms, self.slow_ms, vectors=_vectors(found))


def _vectors(found: Sequence[Candidate]) -> NDArray[np.float32]:
    """All the same, of ``AxisEmbedder``'s dimension."""
    return np.full((len(found), 4), 0.5, np.float32)


def pipeline(
    scorer: Scorer,
    recorder: Recorder,
    shelf: Shelf | None = None,
    store: Store | None = None,
    embedder: AxisEmbedder | None = None,
    builder: PromptBuilder = BUILDER,
) -> Pipeline:
    shelf = shelf or Shelf()
    ranker = Ranker(builder, scorer)
    return Pipeline(
        {"shelf": shelf},
        {"listwise": ranker},
        default_index="shelf",
        default_profile="listwise",
        reranking=unbounded(),
        feedback=Feedback(embedder or AxisEmbedder()),
        observer=recorder,
        answers=AnswerCache(store, Lifetimes(60), recorder),
    )


def search(timeout_ms: float = 10_000, *, strict: bool = False, rerank: RerankOptions | None = None) -> SearchRequest:
    return SearchRequest("query", timeout_ms, top_k=5, strict=strict, rerank=rerank or RerankOptions())
