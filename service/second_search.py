"""Relevance feedback: once candidates are ranked, the index is searched again for what is like the best of them.

What only this search finds is ranked together with the best of the first ranking (ReFIT, arXiv 2305.11744; FIRST,
arXiv 2406.15657). The first ranking is never lost for it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from service.deadline import Deadline
from service.domain import Candidate, DegradedReason, DegradedStep, Ranking, Retrieved, SearchRequest
from service.errors import DeadlineExceeded, EmbedderError, OnepassError, Overloaded
from service.observability.events import Observer, StageFinished
from service.observability.spans import span
from service.ranking.continuing import continued
from service.retrieval.feedback import Feedback, joined
from service.retrieval.first_stage import FirstStage

_REASONS: tuple[tuple[type[OnepassError], DegradedReason], ...] = (
    (DeadlineExceeded, DegradedReason.DEADLINE),
    (EmbedderError, DegradedReason.EMBEDDER),
    (Overloaded, DegradedReason.OVERLOADED),
)
"""Why there was no second search, by the error."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A ranking, the milliseconds it took, and the error that stopped it where it is degraded."""

    ranking: Ranking
    ms: float
    error: OnepassError | None = None

    def without_feedback(self, reason: DegradedReason, error: OnepassError | None) -> Ranked:
        """The same, marked for want of the second search that was asked for."""
        marked = replace(self.ranking, degraded=reason, degraded_step=DegradedStep.NO_FEEDBACK)
        return Ranked(marked, self.ms, error)


Rank = Callable[[tuple[Candidate, ...]], Awaitable[Ranked]]
"""Ranks candidates as the first ones were; raises ``Overloaded`` where that is not admitted."""


class SecondSearch:
    """Searches again and ranks what is new; ``observer`` hears how long the stages take."""

    def __init__(self, feedback: Feedback, observer: Observer) -> None:
        self._feedback = feedback
        self._observer = observer

    async def extended(
        self,
        request: SearchRequest,
        first_stage: FirstStage,
        found: Retrieved,
        ranked: Ranked,
        rank: Rank,
        deadline: Deadline,
    ) -> tuple[Retrieved, Ranked]:
        """What both searches found, and a ranking of it.

        They stay as they are, marked, where the time left does not suffice or the second search cannot be ranked in
        full; and unmarked where it finds nothing new.
        """
        try:
            again = await self._search(request, first_stage, found, ranked.ranking, deadline)
            both = joined(found, again)
            shown = _shown(both, again, ranked.ranking.order[: request.top_k])
            if len(both.candidates) == len(found.candidates):
                return both, ranked
            second = await rank(tuple(both.candidates[position] for position in shown))
        except (DeadlineExceeded, EmbedderError, Overloaded) as error:
            reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
            return found, ranked.without_feedback(reason, error)
        took = ranked.ms + second.ms
        if second.ranking.degraded is not None:
            return found, replace(ranked, ms=took).without_feedback(second.ranking.degraded, second.error)
        return both, Ranked(continued(ranked.ranking, second.ranking, shown), took)

    async def _search(
        self, request: SearchRequest, first_stage: FirstStage, found: Retrieved, ranking: Ranking, deadline: Deadline
    ) -> Retrieved:
        """What is found with the moved vector, which is no more than before where the index was replaced meanwhile.

        Raises:
            DeadlineExceeded: it would take longer than there is time, or it did.
            EmbedderError: the encoder failed.
        """
        deadline.sooner((found.embed_ms + found.retrieve_ms) / 1000).check("a second search")
        started = time.monotonic()
        with span("feedback"):
            vectors = await self._feedback.vectors(request.query, found, ranking, deadline)
            embed_ms = (time.monotonic() - started) * 1000
            again = await first_stage.retrieve(
                request.query, request.candidates, request.mode, deadline, vectors=vectors
            )
        self._observer.observe(StageFinished("embed", embed_ms / 1000))
        self._observer.observe(StageFinished("retrieve", again.retrieve_ms / 1000))
        return replace(again if again.version == found.version else found, embed_ms=embed_ms)


def _shown(both: Retrieved, again: Retrieved, best: Sequence[int]) -> tuple[int, ...]:
    """Positions in ``both`` of those to rank after a second search: the ``best``, and what is new, as it has them."""
    ranks = {candidate.document.id: candidate.rank for candidate in again.candidates}
    new = (position for position, candidate in enumerate(both.candidates) if candidate.from_feedback)
    return tuple(sorted([*best, *new], key=lambda position: ranks.get(both.candidates[position].document.id, 0)))
