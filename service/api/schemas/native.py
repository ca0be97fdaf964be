"""Bodies of our own dialect: what ``/v1/search`` and ``/v1/rerank`` take and give."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.domain import CacheState, DegradedReason, DegradedStep, RetrievalMode


def _encodable(text: str) -> str:
    """``text``, unless half of a surrogate pair stands alone in it: no encoding carries that."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"half of a surrogate pair stands alone at character {error.start}") from None
    return text


def _json(value: dict[str, Any]) -> dict[str, Any]:
    """``value``, if it can be given back as JSON."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError("cannot be given back as JSON") from error
    return value


Text = Annotated[str, AfterValidator(_encodable)]
Metadata = Annotated[dict[str, Any], AfterValidator(_json)]
Count = Annotated[int, Field(ge=1, strict=True)]
Priority = Annotated[int, Field(ge=-100, le=100, strict=True)]
Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Body(BaseModel):
    """A request body: a misspelt field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RerankOptionsBody(Body):
    """How to rank."""

    enabled: bool = Field(default=True, description="false leaves the first stage's order as it is")
    profile: Text | None = Field(None, description="the model and how it is asked; see `/v1/profiles`")
    strategy: Text | None = Field(None, description="how prompts are spent on the list; see `/v1/profiles`")


class SearchBody(Body):
    """A query to answer from an index."""

    query: Text = Field(description="what to look for; a very long one is cut to the profile's `query_tokens`")
    index: Text | None = Field(None, description="which index; see `/v1/indexes`")
    top_k: Count = Field(10, description="results wanted")
    candidates: Count = Field(100, description="passages taken from the first stage and reranked")
    mode: RetrievalMode | None = Field(None, description="first stage: `dense`, `lexical` or `hybrid`")
    rerank: RerankOptionsBody = RerankOptionsBody()
    timeout_ms: Milliseconds | None = Field(None, description="time for the whole request; then the best order so far")
    strict: bool = Field(default=False, description="an error instead of a degraded answer")
    priority: Priority = Field(0, description="higher is ranked first when not all can be at once; -100 to 100")
    explain: bool = Field(default=False, description="add each window shown to the model and its label logits")
    return_documents: bool = Field(default=True, description="give title, text and metadata of each result")


class DocumentBody(Body):
    """A document to rank."""

    id: Text | None = Field(None, description="comes back in the answer; its position as text where none is given")
    text: Text
    title: Text = ""
    metadata: Metadata = Field(default_factory=dict)


class RerankBody(Body):
    """Documents to order for a query."""

    query: Text = Field(description="what to look for; a very long one is cut to the profile's `query_tokens`")
    documents: list[Text | DocumentBody] = Field(description="texts, or objects with `id`, `text`, `title`, `metadata`")
    top_n: Count | None = Field(None, description="results wanted; all where none is given")
    rerank: RerankOptionsBody = RerankOptionsBody()
    timeout_ms: Milliseconds | None = Field(None, description="time for the whole request; then the best order so far")
    strict: bool = Field(default=False, description="an error instead of a degraded answer")
    priority: Priority = Field(0, description="higher is ranked first when not all can be at once; -100 to 100")
    explain: bool = Field(default=False, description="add each window shown to the model and its label logits")
    return_documents: bool = Field(default=False, description="give title, text and metadata of each result")


class FirstStageBody(BaseModel):
    """Where the first stage had a passage, with its score on the first stage's own scale."""

    rank: int
    score: float


class DocumentAnswer(BaseModel):
    """A document of a result."""

    title: str
    text: str
    metadata: dict[str, Any]


class SearchResult(BaseModel):
    """One ranked passage."""

    id: str
    rank: int
    score: float = Field(description="relevance in [0, 1], strictly decreasing with rank, comparable within a profile")
    first_stage: FirstStageBody
    document: DocumentAnswer | None = None


class RerankResult(BaseModel):
    """One ranked document; ``index`` is its position in the request, from 0."""

    id: str
    index: int
    rank: int
    score: float = Field(description="relevance in [0, 1], strictly decreasing with rank, comparable within a profile")
    document: DocumentAnswer | None = None


class WindowBody(BaseModel):
    """One prompt as it was answered: documents in the order shown, and the logit of each one's label."""

    round: int
    ids: list[str]
    logits: list[float]


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


class ErrorDetail(BaseModel):
    """What went wrong, and which field is to blame."""

    type: str
    message: str
    field: str | None


class ErrorBody(BaseModel):
    """Every answer that is not a success."""

    error: ErrorDetail
