"""Encoders that count what they read and take their time, and prompts for them."""

from __future__ import annotations

import time
from collections.abc import Callable

from service.domain import Evidence, TokenIds
from service.encoders.encoders import EncodedQuery, Encoders, States, Vector
from service.engine.encoded import EncoderScorer, EvidenceWeights
from service.engine.passages import PassageMemory
from service.engine.scorer import Prompt
from service.observability.events import Event

WEIGHTS = EvidenceWeights(dense=30.0, sparse=5.0, lexical=0.5, least_cosine=0.1, cosine_per_match=0.1)


class CountingEncoders(Encoders):
    """The pair that ships. A text takes ``delay_s`` more, ``dense_delay_s`` for the dense encoder; ``poison`` fails."""

    def __init__(self) -> None:
        super().__init__()
        self.delay_s = self.dense_delay_s = 0.0
        self.poison: int | None = None
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        self.queries, self.sparse_texts, self.dense_texts = 0, 0, 0

    def query_of(self, ids: TokenIds) -> EncodedQuery:
        self.queries += 1
        read = super().query_of(ids)
        self.dense_texts -= 1
        return read

    def states_one(self, ids: TokenIds) -> States:
        self._wait(ids)
        self.sparse_texts += 1
        return super().states_one(ids)

    def dense_one(self, ids: TokenIds) -> Vector:
        self._wait(ids)
        time.sleep(self.dense_delay_s)
        self.dense_texts += 1
        return super().dense_one(ids)

    def _wait(self, ids: TokenIds) -> None:
        time.sleep(self.delay_s)
        if self.poison is not None and self.poison in ids.tolist():
            raise KeyError("poison")


def scorer_of(
    encoders: Encoders,
    *,
    memory: PassageMemory | None = None,
    queue_passages: int = 4096,
    notify: Callable[[Event], None] = lambda _: None,
) -> EncoderScorer:
    """A scorer with weights of the tests' own."""
    kept = PassageMemory(50_000_000) if memory is None else memory
    return EncoderScorer(encoders, WEIGHTS, kept, queue_passages=queue_passages, notify=notify)


def prompts_of(
    encoders: Encoders, query: str, *texts: str, owner: str | None = None, evidence: Evidence | None = None
) -> list[Prompt]:
    """One prompt for each text."""
    (asked,) = encoders.tokens([query])
    return [Prompt(asked, (0,), (ids,), owner, evidence) for ids in encoders.tokens(texts)]
