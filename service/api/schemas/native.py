"""Bodies of our own dialect: what ``/v1/search`` and ``/v1/rerank`` take and give."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from service.api.schemas.unions import Taken, text_or_object
from service.domain import Aggregate, CacheState, DegradedReason, DegradedStep, FusedBy, RetrievalMode, Sort
from service.settings import MOST_DOCUMENTS


def _encodable(text: str) -> str:
    """``text``, unless half of a surrogate pair stands alone in it: no encoding carries that."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"half of a surrogate pair stands alone at character {error.start}") from None
    return text


_MOST_FIELDS = 100
_DEEPEST = 64
"""Levels of what is given back; what writes it again knows a few hundred."""


def _json(value: dict[str, Any]) -> dict[str, Any]:
    """``value``, if it can be given back as JSON."""
    if _is_deeper(value, _DEEPEST):
        raise ValueError(f"is nested deeper than {_DEEPEST} levels")
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise ValueError("cannot be given back as JSON") from error
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether objects and lists are nested in each other more often than ``levels`` times."""
    level = [value]
    for _ in range(levels + 1):
        level = [inner for outer in level for inner in _inside(outer)]
    return bool(level)


def _inside(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


Text = Annotated[str, AfterValidator(_encodable)]
Metadata = Annotated[dict[str, Any], AfterValidator(_json)]
Count = Annotated[int, Field(ge=1, strict=True)]
Chunks = Annotated[int, Field(ge=0, le=8, strict=True)]
Weight = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
Priority = Annotated[int, Field(ge=-100, le=100, strict=True)]
SOME = Field(min_length=1, max_length=MOST_DOCUMENTS, fail_fast=True)
"""What makes a list one of documents: neither none nor too many, and looked through up to the first fault."""
Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Body(BaseModel):
    """A request body: a misspelt field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _few(cls, value: Any) -> Any:
        """Refuse a great many fields at once, not each of them by its name."""
        if isinstance(value, dict) and len(value) > _MOST_FIELDS:
            raise ValueError(f"an object of {len(value)} fields, none of which has so many")
        return value


class StrategyParametersBody(Body):
    """What to choose of the strategy; one that it does not go by is refused. See `docs/strategies.md`."""

    window: Annotated[int, Field(ge=2, le=256, strict=True)] | None = Field(None, description="passages in a prompt")
    stride: Annotated[int, Field(ge=1, le=255, strict=True)] | None = Field(None, description="step of the window")
    passes: Annotated[int, Field(ge=1, le=100, strict=True)] | None = Field(None, description="times through the list")
    pivot: Annotated[int, Field(ge=1, le=256, strict=True)] | None = Field(
        None, description="place of the pivot in the first window"
    )
    budget: Annotated[int, Field(ge=2, le=256, strict=True)] | None = Field(
        None, description="most passages that beat the pivot and are ordered in the last window"
    )
    sort: Sort | None = Field(None, description="`heap`, `bubble`, or for `pairwise` also `all` pairs")
    over: Text | None = Field(None, description="the strategy that `self_consistency` is over")
    shuffles: Annotated[int, Field(ge=1, le=20, strict=True)] | None = Field(
        None, description="orders in which each window is shown"
    )
    aggregate: Aggregate | None = Field(None, description="how these agree: `kemeny` or `borda`")


class PartBody(Body):
    """A stage of a cascade, or a member of a fusion."""

    profile: Text | None = Field(None, description="as `rerank.profile`")
    strategy: Text | None = Field(None, description="as `rerank.strategy`; none that is made of parts, and not `auto`")
    parameters: StrategyParametersBody = StrategyParametersBody()
    depth: Count | None = Field(None, description="so many of the best so far; wanted of all stages but the first")


class ParametersBody(StrategyParametersBody):
    """What to choose of a strategy, also of one that is made of parts."""

    stages: Annotated[list[PartBody], Field(min_length=2, max_length=5)] | None = Field(
        None, description="of a `cascade`, each over the best of the one before"
    )
    members: Annotated[list[PartBody], Field(min_length=2, max_length=5)] | None = Field(
        None, description="of a `fusion`, side by side"
    )
    by: FusedBy | None = Field(None, description="a fusion of reciprocal `rank`s or of calibrated `score`s")


class RerankOptionsBody(Body):
    """How to rank."""

    enabled: bool = Field(default=True, description="false leaves the first stage's order as it is")
    profile: Text | None = Field(None, description="the model and how it is asked; see `/v1/profiles`")
    strategy: Text | None = Field(None, description="how prompts are spent on the list; see `/v1/profiles`")
    parameters: ParametersBody = ParametersBody()
    chunks: Chunks | None = Field(
        None,
        description="rank so many chunks of a long document, those nearest to the query; with 0 its beginning; as the "
        "profile says where it is not given",
    )
    first_stage_weight: Weight | None = Field(
        None,
        description="how much the order counts that the candidates came in: what the profile says in a search, and "
        "nothing for documents of the request, where none is given",
    )


class SearchBody(Body):
    """A query to answer from an index."""

    query: Text = Field(description="what to look for; a very long one is cut to the profile's `query_tokens`")
    index: Text | None = Field(None, description="which index; see `/v1/indexes`")
    top_k: Count = Field(10, description="results wanted")
    candidates: Count = Field(100, description="passages taken from the first stage and reranked")
    mode: RetrievalMode | None = Field(
        None, description="first stage: `dense`, `sparse`, `lexical` or all of them, `hybrid`"
    )
    rerank: RerankOptionsBody = RerankOptionsBody()
    feedback: bool = Field(
        default=False, description="move the query's vector toward what the reranker liked, and search again"
    )
    timeout_ms: Milliseconds | None = Field(None, description="time for the whole request; then the best order so far")
    strict: bool = Field(default=False, description="an error instead of a degraded answer")
    priority: Priority = Field(0, description="higher is ranked first when not all can be at once; -100 to 100")
    explain: bool = Field(
        default=False,
        description="add the plan, each window shown to the model and its label logits, the first stage's part in them",
    )
    relevant_spans: bool = Field(default=False, description="tell which chunks of a result were ranked")
    return_documents: bool = Field(default=True, description="give title, text and metadata of each result")


class DocumentBody(Body):
    """A document to rank."""

    id: Text | None = Field(None, description="comes back in the answer; its position as text where none is given")
    text: Text
    title: Text = ""
    metadata: Metadata = Field(default_factory=dict)


Given = Annotated[
    Annotated[Text, Tag(Taken.TEXT)] | Annotated[DocumentBody, Tag(Taken.OBJECT)], Discriminator(text_or_object)
]


class RerankBody(Body):
    """Documents to order for a query."""

    query: Text = Field(description="what to look for; a very long one is cut to the profile's `query_tokens`")
    documents: Annotated[list[Given], SOME] = Field(
        description="texts, or objects with `id`, `text`, `title`, `metadata`"
    )
    top_n: Count | None = Field(None, description="results wanted; all where none is given")
    rerank: RerankOptionsBody = RerankOptionsBody()
    timeout_ms: Milliseconds | None = Field(None, description="time for the whole request; then the best order so far")
    strict: bool = Field(default=False, description="an error instead of a degraded answer")
    priority: Priority = Field(0, description="higher is ranked first when not all can be at once; -100 to 100")
    explain: bool = Field(
        default=False,
        description="add the plan, each window shown to the model and its label logits, the first stage's part in them",
    )
    relevant_spans: bool = Field(default=False, description="tell which chunks of a result were ranked")
    return_documents: bool = Field(default=False, description="give title, text and metadata of each result")


class FirstStageBody(BaseModel):
    """Where the first stage had a passage, with its score on the first stage's own scale."""

    rank: int
    score: float
    feedback: bool = Field(description="it was found by the second search alone, which rank and score are of")


class DocumentAnswer(BaseModel):
    """A document of a result."""

    title: str
    text: str
    metadata: dict[str, Any]


class SpanBody(BaseModel):
    """A part of a document's text that was ranked by itself, in characters."""

    start: int
    end: int
    score: float


class SearchResult(BaseModel):
    """One ranked passage."""

    id: str
    rank: int
    score: float = Field(description="relevance in [0, 1], strictly decreasing with rank, comparable within a profile")
    first_stage: FirstStageBody
    document: DocumentAnswer | None = None
    relevant_spans: list[SpanBody] | None = Field(None, description="only with `relevant_spans`; best first")


class RerankResult(BaseModel):
    """One ranked document; ``index`` is its position in the request, from 0."""

    id: str
    index: int
    rank: int
    score: float = Field(description="relevance in [0, 1], strictly decreasing with rank, comparable within a profile")
    document: DocumentAnswer | None = None
    relevant_spans: list[SpanBody] | None = Field(None, description="only with `relevant_spans`; best first")


class WindowBody(BaseModel):
    """One prompt as it was answered: documents in the order shown, and the logit of each one's label."""

    round: int
    ids: list[str]
    logits: list[float]


class PlanBody(BaseModel):
    """What the strategy went by, and why it was chosen where the request left that open."""

    parameters: dict[str, Any]
    why: str | None


class RankingBody(BaseModel):
    """How the order came about; ``reason`` tells why it is degraded, ``degraded_step`` what was done instead."""

    profile: str | None
    model: str | None
    strategy: str | None
    prompts: int
    rounds: int
    degraded: bool
    reason: DegradedReason | None
    degraded_step: DegradedStep | None
    plan: PlanBody | None = Field(None, description="only with `explain`")
    windows: list[WindowBody] | None = Field(None, description="only with `explain`")


class TimingsBody(BaseModel):
    """Milliseconds of each stage; of a stage that did not run for this request, 0."""

    embed: float
    retrieve: float
    rank: float
    total: float


class SearchAnswer(BaseModel):
    """The ranked passages of an index for a query."""

    id: str = Field(description="the request's id, also in the header `X-Request-Id`")
    query: str
    index: str
    index_version: str
    results: list[SearchResult]
    rerank: RankingBody
    timings_ms: TimingsBody
    cache: CacheState = Field(description="what the cache had to do with it")


class RerankAnswer(BaseModel):
    """The ranked documents of a request."""

    id: str = Field(description="the request's id, also in the header `X-Request-Id`")
    query: str
    results: list[RerankResult]
    rerank: RankingBody
    timings_ms: TimingsBody
    cache: CacheState = Field(description="what the cache had to do with it")
