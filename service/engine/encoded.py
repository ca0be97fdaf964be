"""A scorer over the encoders of this process: a prompt is a query and one passage, its logit tells how they match.

The logit is ``dense * cosine + sparse * match``, where ``match`` is the inner product of the learned sparse vectors,
the query's scaled to unit length, and the weights are the profile's. For a passage that both encoders have read it
depends on the query and the passage alone, whatever else is asked at the same time.

A passage of an index comes with its evidence, and nothing is read; its BM25 score, which only an index can tell, adds
``lexical`` times itself. Any other passage is read in two steps, the cheap one first: the sparse encoder reads all, an
eighth of the dense one's work, and the dense encoder reads those that match best, at most ``DENSE_MOST`` of a call. A
passage that the dense encoder has not read gets the logit to be expected from its match, and never more than the least
of those that both have read. What was read is remembered (``passages.py``).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import anyio

from service.deadline import Deadline
from service.domain import TokenIds
from service.encoders.encoders import PIECE_TOKENS, EncodedQuery, Encoders
from service.engine.passages import PassageMemory, PassageReading
from service.engine.scorer import CutShort, LabelLogits, Prompt, checked
from service.errors import EngineRejected, EngineUnavailable
from service.observability.events import EngineCalled, Notify

DENSE_MOST = 64
"""Passages of one call that the dense encoder reads, beside those it has read before."""

_QUERIES_KEPT = 64

_A = TypeVar("_A")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class EvidenceWeights:
    """What the kinds of evidence count: ``dense`` for the cosine, ``sparse`` for the match, ``lexical`` for BM25.

    ``least_cosine`` and ``cosine_per_match`` tell the cosine to expect of a passage of which the match alone is known.
    """

    dense: float
    sparse: float
    lexical: float = 0.0
    least_cosine: float = 0.0
    cosine_per_match: float = 0.0

    def logit(self, cosine: float, match: float, bm25: float = 0.0) -> float:
        """The logit of a passage that both encoders have read."""
        return self.dense * cosine + self.sparse * match + self.lexical * bm25

    def expected(self, match: float) -> float:
        """The logit to expect of a passage that the sparse encoder alone has read."""
        return self.logit(self.least_cosine + self.cosine_per_match * match, match)


@dataclass(slots=True, eq=False)
class _Passage:
    """A prompt's passage on its way to a logit: ``match`` is known before it, unless ``reading`` is not needed."""

    prompt: Prompt
    reading: PassageReading
    query: EncodedQuery | None = None
    match: float | None = None
    logit: float | None = None

    @property
    def ids(self) -> TokenIds:
        return self.prompt.passages[0]


class EncoderScorer:
    """Implements ``Scorer`` over ``encoders``, with the weights of a profile.

    ``memory`` keeps what was read of passages. At most ``queue_passages`` wait to be read, more are refused.
    """

    def __init__(
        self,
        encoders: Encoders,
        weights: EvidenceWeights,
        memory: PassageMemory,
        *,
        queue_passages: int = 4096,
        notify: Notify = lambda _: None,
    ) -> None:
        self._encoders = encoders
        self._weights = weights
        self._memory = memory
        self._queue_passages = queue_passages
        self._notify = notify
        self._queries: dict[tuple[str | None, bytes], EncodedQuery] = {}
        self._scopes: set[anyio.CancelScope] = set()
        self._waiting = 0
        self._closed = False

    @property
    def model(self) -> str:
        """The encoders' weights: an index's evidence counts if it is theirs."""
        return self._encoders.id

    async def open(self) -> None:
        """Nothing is outside this process."""

    async def score(self, prompts: Sequence[Prompt], deadline: Deadline) -> list[LabelLogits]:
        """The logit of each prompt's passage, one value each.

        Raises:
            CutShort: the deadline came first; it holds the logits known by then.
            EngineRejected: a prompt that is not one query and one passage, or that the encoders cannot read.
            EngineUnavailable: closed, an encoder failed, or too many passages wait.
        """
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        deadline.check("scoring")
        passages = [self._passage(prompt) for prompt in prompts]
        unread = [passage for passage in passages if passage.logit is None]
        if self._waiting + len(unread) > self._queue_passages:
            raise EngineUnavailable(f"the engine's queue has no room for {len(unread)} more passages")
        self._waiting += len(unread)
        try:
            complete = await self._read(unread, deadline)
        finally:
            self._waiting -= len(unread)
        known = dict(zip(map(id, unread), self._logits(unread), strict=True))
        logits = [known.get(id(passage), passage.logit) for passage in passages]
        if complete:
            return checked(prompts, [(value,) for value in logits if value is not None])
        answers = [None if value is None else (value,) for value in logits]
        raise CutShort("the time ran out while passages were read", answers)

    async def ready(self) -> bool:
        """Whether it is open and a passage would find room in the queue."""
        return not self._closed and self._waiting < self._queue_passages

    async def close(self) -> None:
        """Take no more work; those who wait get ``EngineUnavailable``. The encoders are closed by whoever made them."""
        self._closed = True
        for scope in self._scopes:
            scope.cancel()

    def _passage(self, prompt: Prompt) -> _Passage:
        if len(prompt.label_ids) != 1 or len(prompt.passages) != 1:
            raise EngineRejected("a prompt holds one query and one passage here")
        evidence = prompt.evidence
        if evidence is not None and evidence.encoders == self.model:
            logit = self._weights.logit(evidence.dense, evidence.sparse, evidence.lexical)
            return _Passage(prompt, PassageReading(), logit=logit)
        for ids in (prompt.token_ids, prompt.passages[0]):
            self._check(ids)
        return _Passage(prompt, self._memory.get(prompt.owner, prompt.passages[0]))

    def _check(self, ids: TokenIds) -> None:
        if len(ids) > PIECE_TOKENS:
            raise EngineRejected(f"a text has {len(ids)} tokens, the encoders take {PIECE_TOKENS}")
        if len(ids) and int(ids.max()) >= self._encoders.vocabulary:
            raise EngineRejected(f"a text holds an id outside the encoders' vocabulary of {self._encoders.vocabulary}")

    async def _read(self, passages: Sequence[_Passage], deadline: Deadline) -> bool:
        """Read passages, as many as time allows; whether all were read that are to be."""
        if not passages:
            return True
        began = asyncio.get_running_loop().time()
        limit = None if math.isinf(deadline.at) else deadline.remaining
        with anyio.move_on_after(limit) as scope:
            self._scopes.add(scope)
            try:
                await self._read_all(passages)
            finally:
                self._scopes.discard(scope)
                for passage in passages:
                    self._memory.put(passage.prompt.owner, passage.ids, passage.reading)
        if scope.cancelled_caught and self._closed:
            raise EngineUnavailable("the engine was closed")
        tokens = sum(len(passage.ids) for passage in passages)
        self._notify(EngineCalled(len(passages), tokens, 1.0, asyncio.get_running_loop().time() - began))
        return not scope.cancelled_caught

    async def _read_all(self, passages: Sequence[_Passage]) -> None:
        for passage in passages:
            passage.query = await self._query(passage.prompt)
        await self._each(self._use_known, [passages])  # one piece of work: a passage takes microseconds
        await self._each(self._match, [passage for passage in passages if passage.reading.states is None])
        unread = [passage for passage in passages if passage.logit is None]
        await self._each(self._compare, sorted(unread, key=lambda passage: -(passage.match or 0.0))[:DENSE_MOST])

    async def _query(self, prompt: Prompt) -> EncodedQuery:
        key = prompt.owner, prompt.token_ids.tobytes()
        if key not in self._queries:
            (found,) = await self._each(self._encoders.query_of, [prompt.token_ids])
            while len(self._queries) >= _QUERIES_KEPT:
                del self._queries[next(iter(self._queries))]
            self._queries[key] = found
        return self._queries[key]

    async def _each(self, work: Callable[[_A], _T], arguments: Sequence[_A]) -> list[_T]:
        """``work`` on each argument, as many at a time as there are threads; what is left is dropped on cancellation.

        Raises ``EngineUnavailable`` if one fails, or the encoders are closed.
        """
        try:
            futures = [asyncio.wrap_future(self._encoders.submit(work, argument)) for argument in arguments]
        except RuntimeError as error:
            raise EngineUnavailable("the encoders are closed") from error
        if not futures:
            return []
        try:
            await asyncio.wait(futures, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for future in futures:
                future.cancel()
        for failure in [future.exception() for future in futures if not future.cancelled()]:
            if failure is not None:
                raise EngineUnavailable(f"an encoder failed: {failure}") from failure
        if any(future.cancelled() for future in futures):
            raise EngineUnavailable("the encoders were closed")
        return [future.result() for future in futures]

    def _use_known(self, passages: Sequence[_Passage]) -> None:
        """Compare the passages that were read before."""
        for passage in passages:
            if passage.reading.states is not None:
                self._match(passage)
                if passage.reading.dense is not None:
                    self._compare(passage)

    def _match(self, passage: _Passage) -> None:
        states = passage.reading.states
        if states is None:
            states = self._encoders.states_one(passage.ids)
            passage.reading = replace(passage.reading, states=states)
        passage.match = _given(passage.query).sparse_score(states)

    def _compare(self, passage: _Passage) -> None:
        dense = passage.reading.dense
        if dense is None:
            dense = self._encoders.dense_one(passage.ids)
            passage.reading = replace(passage.reading, dense=dense)
        passage.logit = self._weights.logit(float(_given(passage.query).dense @ dense), _given(passage.match))

    def _logits(self, passages: Sequence[_Passage]) -> list[float | None]:
        """What is known of passages by now; of those that the sparse encoder alone has read, what is to be expected.

        Looked at once: a thread that the deadline found at work may still add to them.
        """
        logits = [passage.logit for passage in passages]
        least = min((logit for logit in logits if logit is not None), default=math.inf)
        matches = [passage.match for passage in passages]
        return [
            logit if logit is not None or match is None else min(least, self._weights.expected(match))
            for logit, match in zip(logits, matches, strict=True)
        ]


def _given(value: _T | None) -> _T:
    """What a step before this one has found."""
    if value is None:
        raise ValueError("a passage was compared before it was read")
    return value
