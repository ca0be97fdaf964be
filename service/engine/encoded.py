"""A scorer over the encoders of this process: a prompt is a query and one passage, its logit tells how they match.

The logit is ``dense * cosine + sparse * match``, where ``match`` is the inner product of the learned sparse vectors,
the query's scaled to unit length, and the weights are the profile's. It depends on the query and the passage alone,
whatever else is asked at the same time.

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
from dataclasses import dataclass

import anyio

from service.deadline import Deadline
from service.domain import TokenIds
from service.encoders.encoders import EncodedQuery, Encoders
from service.engine.passages import PassageMemory, PassageReading
from service.engine.scorer import CutShort, LabelLogits, Prompt
from service.errors import EngineRejected, EngineUnavailable
from service.observability.events import EngineCalled, Notify

DENSE_MOST = 64
"""Passages of one call that the dense encoder reads, beside those it has read before."""

_QUERIES_KEPT = 64


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
    """A prompt's passage on its way to a logit. ``match`` is known once ``reading`` holds its states."""

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
        self._queries: dict[bytes, EncodedQuery] = {}
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
            EngineRejected: a prompt that is not one query and one passage.
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
        if complete:
            return [_known(passage) for passage in passages]
        answers = [None if passage.logit is None else _known(passage) for passage in passages]
        raise CutShort("the time ran out while passages were read", answers)

    async def ready(self) -> bool:
        """Whether it is open and a passage would find room in the queue."""
        return not self._closed and self._waiting < self._queue_passages

    async def close(self) -> None:
        """Take no more work. The encoders are closed by whoever made them."""
        self._closed = True

    def _passage(self, prompt: Prompt) -> _Passage:
        if len(prompt.label_ids) != 1 or len(prompt.passages) != 1:
            raise EngineRejected("a prompt holds one query and one passage here")
        evidence = prompt.evidence
        if evidence is not None and evidence.encoders == self.model:
            logit = self._weights.logit(evidence.dense, evidence.sparse, evidence.lexical)
            return _Passage(prompt, PassageReading(), logit=logit)
        return _Passage(prompt, self._memory.get(prompt.owner, prompt.passages[0]))

    async def _read(self, passages: Sequence[_Passage], deadline: Deadline) -> bool:
        """Give passages their logits, as many as time allows; whether all were read that are to be."""
        if not passages:
            return True
        began = asyncio.get_running_loop().time()
        limit = None if math.isinf(deadline.at) else deadline.remaining
        try:
            with anyio.move_on_after(limit) as scope:
                await self._read_all(passages)
        except RuntimeError as error:  # ONNX Runtime's errors derive from it, and so does that of a closed pool
            raise EngineUnavailable(f"an encoder failed: {error}") from error
        finally:
            for passage in passages:
                self._memory.put(passage.prompt.owner, passage.ids, passage.reading)
        self._estimate(passages)
        tokens = sum(len(passage.ids) for passage in passages)
        self._notify(EngineCalled(len(passages), tokens, 1.0, asyncio.get_running_loop().time() - began))
        return not scope.cancelled_caught

    async def _read_all(self, passages: Sequence[_Passage]) -> None:
        for passage in passages:
            passage.query = await self._encoded(passage.prompt.token_ids)
        await asyncio.wrap_future(self._encoders.submit(self._use_known, passages))
        await self._each(self._read_sparse, [passage for passage in passages if passage.reading.states is None])
        unread = [passage for passage in passages if passage.reading.dense is None]
        await self._each(self._read_dense, sorted(unread, key=_by_match)[:DENSE_MOST])

    async def _encoded(self, ids: TokenIds) -> EncodedQuery:
        key = ids.tobytes()
        if key not in self._queries:
            found = await asyncio.wrap_future(self._encoders.submit(self._encoders.query_of, ids))
            while len(self._queries) >= _QUERIES_KEPT:
                del self._queries[next(iter(self._queries))]
            self._queries[key] = found
        return self._queries[key]

    async def _each(self, work: Callable[[_Passage], None], passages: Sequence[_Passage]) -> None:
        """``work`` on each of the passages, as many at a time as there are threads; dropped if this is cancelled."""
        await asyncio.gather(*(asyncio.wrap_future(self._encoders.submit(work, passage)) for passage in passages))

    def _use_known(self, passages: Sequence[_Passage]) -> None:
        """All that takes no reading, in one piece of work: a passage takes microseconds."""
        for passage in passages:
            _match(passage)
            self._compare(passage)

    def _read_sparse(self, passage: _Passage) -> None:
        passage.reading.states = self._encoders.states_one(passage.ids)
        _match(passage)
        self._compare(passage)

    def _read_dense(self, passage: _Passage) -> None:
        passage.reading.dense = self._encoders.dense_one(passage.ids)
        self._compare(passage)

    def _compare(self, passage: _Passage) -> None:
        if passage.query is not None and passage.reading.dense is not None and passage.match is not None:
            cosine = float(passage.query.dense @ passage.reading.dense)
            passage.logit = self._weights.logit(cosine, passage.match)

    def _estimate(self, passages: Sequence[_Passage]) -> None:
        """Logits for those that the sparse encoder alone has read."""
        least = min((passage.logit for passage in passages if passage.logit is not None), default=math.inf)
        for passage in passages:
            if passage.logit is None and passage.match is not None:
                passage.logit = min(least, self._weights.expected(passage.match))


def _match(passage: _Passage) -> None:
    if passage.query is not None and passage.reading.states is not None:
        passage.match = passage.query.sparse_score(passage.reading.states)


def _by_match(passage: _Passage) -> float:
    return 0.0 if passage.match is None else -passage.match


def _known(passage: _Passage) -> LabelLogits:
    return (0.0 if passage.logit is None else passage.logit,)
