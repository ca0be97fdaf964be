"""The vocabulary of the service: frozen values, no behaviour beyond themselves, no imports of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

TokenIds = NDArray[np.uint32]
"""Token ids of one text, shape [tokens]."""

Window = tuple[int, ...]
"""Candidates shown to the model in one prompt, in the order shown, as positions in the candidate list."""


class RetrievalMode(StrEnum):
    """How the first stage finds candidates."""

    DENSE = "dense"
    SPARSE = "sparse"
    LEXICAL = "lexical"
    HYBRID = "hybrid"


class Sort(StrEnum):
    """How a strategy that asks for the best of a few sorts many."""

    HEAP = "heap"
    BUBBLE = "bubble"
    ALL = "all"
    """No sort: every pair is asked about."""


class Aggregate(StrEnum):
    """How several orders of the same passages become one."""

    KEMENY = "kemeny"
    """The order that contradicts the fewest of their pairs."""
    BORDA = "borda"
    """By mean rank."""


class FusedBy(StrEnum):
    """What several orders of the same candidates are put together by."""

    RANK = "rank"
    SCORE = "score"


class DegradedReason(StrEnum):
    """Why an answer is less than what was asked for."""

    DEADLINE = "deadline"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    ENGINE_REJECTED = "engine_rejected"
    ENGINE_PROTOCOL = "engine_protocol"
    EMBEDDER = "embedder_unavailable"
    OVERLOADED = "overloaded"


class DegradedStep(StrEnum):
    """What was done instead of what was asked for."""

    FEWER_CANDIDATES = "fewer_candidates"
    SINGLE_WINDOW = "single_window"
    FIRST_STAGE = "first_stage"
    NO_FEEDBACK = "no_feedback"
    """The second search that relevance feedback stands for was left out."""


class CachePolicy(StrEnum):
    """What a request lets the cache do."""

    USE = "use"
    REFRESH = "no-cache"
    AVOID = "no-store"
    ONLY = "only-if-cached"


class CacheState(StrEnum):
    """What the cache had to do with an answer.

    ``shared`` was made for another request that asked the same at the same time; ``stale`` is past its time and is
    being made anew; ``bypass`` says that the cache could not be asked.
    """

    OFF = "off"
    HIT = "hit"
    STALE = "stale"
    SHARED = "shared"
    MISS = "miss"
    BYPASS = "bypass"


@dataclass(frozen=True, slots=True)
class Document:
    """One passage of a corpus or of a request."""

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PassageTokens:
    """A passage's token ids together with the encoding that made them.

    ``encoding`` is the fingerprint of tokenizer and sanitizing rules; ids of another encoding are not used.
    """

    encoding: str
    ids: TokenIds


@dataclass(frozen=True, slots=True)
class Fused:
    """What several ``rankings`` say together of a document: the ``rank`` at which all would have to hold it."""

    rankings: int
    rank: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """How well a passage matches the query, by vectors computed when its index was built.

    ``dense`` is the cosine of the query's vector and the passage's nearest piece, ``sparse`` the inner product of their
    learned sparse vectors, the query's scaled to unit length, and ``lexical`` the passage's BM25 score, 0 where full
    text did not find it or was not asked. ``encoders`` names the pair of encoders: evidence of another is not used.
    """

    encoders: str
    dense: float
    sparse: float
    lexical: float = 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document as the first stage proposed it: ``rank`` from 1, ``score`` on the first stage's own scale.

    ``fused`` is what stands behind that where the first stage is several rankings. One ``from_feedback`` was found by a
    request's second search alone, which its rank and score are of. ``evidence`` is there where the index holds vectors
    of the passage.
    """

    document: Document
    rank: int
    score: float
    tokens: PassageTokens | None = None
    from_feedback: bool = False
    fused: Fused | None = None
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What the first stage found, best first, and the milliseconds it took.

    ``version`` is that of the index it was found in. ``degraded`` says that a part of it was missing, such as the dense
    part of a hybrid. ``vectors``, shape [candidates, dimension], are the dense vectors of their pieces nearest to the
    query; missing where the query has none.
    """

    candidates: tuple[Candidate, ...]
    version: str
    embed_ms: float
    retrieve_ms: float
    degraded: DegradedReason | None = None
    vectors: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class WindowReading:
    """One prompt as it was answered: the candidates shown and the logit of each one's label.

    Where the first stage's order counts, its part is in the logits.
    """

    round: int
    window: Window
    logits: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RelevantSpan:
    """A part of a document that was ranked by itself, from ``start`` to ``end`` of its text in characters."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """An order over all candidates of a request.

    ``order`` holds every position of the candidate list exactly once, best first; ``scores`` is aligned with it,
    strictly decreasing and in [0, 1]. ``prompt_tokens`` is what the model read for it. ``parameters`` are those that
    the strategy went by, in words and numbers; ``why`` says why it was chosen, where it was not asked for. ``spans``
    are those of each candidate that were ranked, best first and aligned with ``order``; empty where long documents were
    not cut.
    """

    order: tuple[int, ...]
    scores: tuple[float, ...]
    profile: str | None
    model: str | None
    strategy: str | None
    prompts: int = 0
    rounds: int = 0
    prompt_tokens: int = 0
    degraded: DegradedReason | None = None
    degraded_step: DegradedStep | None = None
    readings: tuple[WindowReading, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    why: str | None = None
    spans: tuple[tuple[RelevantSpan, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a request chooses of its strategy; ``None`` is the profile's choice, or the strategy's own."""

    window: int | None = None
    stride: int | None = None
    passes: int | None = None
    pivot: int | None = None
    budget: int | None = None
    sort: Sort | None = None
    over: str | None = None
    shuffles: int | None = None
    aggregate: Aggregate | None = None
    stages: tuple[Part, ...] | None = None
    members: tuple[Part, ...] | None = None
    by: FusedBy | None = None

    @property
    def chosen(self) -> dict[str, Any]:
        """What is chosen, by name."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}


@dataclass(frozen=True, slots=True)
class Part:
    """A ranking within a ranking: a stage of a cascade, over the best ``depth`` so far, or a member of a fusion."""

    profile: str | None = None
    strategy: str | None = None
    parameters: Parameters = Parameters()
    depth: int | None = None


AS_USUAL = Parameters()
"""Nothing is chosen."""


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """How to rank: names are looked up by the pipeline, ``None`` means the configured default.

    ``passage_tokens`` is the most that is read of a passage where that is less than the profile's own budget.
    ``chunks`` is the most chunks of a longer passage that are ranked, with 0 its beginning; where it is not given, what
    the profile says, but its beginning with feedback or ``passage_tokens``.
    ``first_stage_weight`` is how much the order counts that the candidates came in (``ranking/prior.py``): where it is
    not given, what the profile says in a search, and nothing for documents that the caller brings.
    """

    enabled: bool = True
    profile: str | None = None
    strategy: str | None = None
    passage_tokens: int | None = None
    parameters: Parameters = AS_USUAL
    chunks: int | None = None
    first_stage_weight: float | None = None


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A query to answer from an index. ``timeout_ms`` covers the whole request; ``tenant`` is who asks, where told.

    A higher ``priority`` is ranked first when not all can be at once. With ``feedback``, what the reranker liked moves
    the query's vector, and the index is searched again.
    """

    query: str
    timeout_ms: float
    index: str | None = None
    top_k: int = 10
    candidates: int = 100
    mode: RetrievalMode = RetrievalMode.HYBRID
    rerank: RerankOptions = RerankOptions()
    feedback: bool = False
    strict: bool = False
    tenant: str | None = None
    cache: CachePolicy = CachePolicy.USE
    priority: int = 0


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """Documents to order for a query, in the order the caller had them."""

    query: str
    documents: tuple[Document, ...]
    timeout_ms: float
    top_n: int | None = None
    rerank: RerankOptions = RerankOptions()
    strict: bool = False
    tenant: str | None = None
    cache: CachePolicy = CachePolicy.USE
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds spent in each stage; a stage that did not run took 0."""

    embed: float
    retrieve: float
    rank: float
    total: float


@dataclass(frozen=True, slots=True)
class Result:
    """One line of an answer: ``rank`` from 1, ``index`` the position among the request's candidates from 0."""

    rank: int
    score: float
    index: int
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Answer:
    """The ranked passages of a request, best first, and how they came about.

    ``candidates`` holds all that were ranked, in first-stage order: positions in ``ranking`` refer to it.
    """

    results: tuple[Result, ...]
    candidates: tuple[Candidate, ...]
    ranking: Ranking
    timings: Timings
    index: str | None = None
    index_version: str | None = None
    cache: CacheState = CacheState.OFF

    @property
    def lasting(self) -> bool:
        """Whether the same question would get the same answer from the cache."""
        return self.ranking.degraded is None and self.cache in {CacheState.HIT, CacheState.MISS, CacheState.SHARED}
