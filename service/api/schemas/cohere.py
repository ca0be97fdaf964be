"""Cohere's rerank bodies, v1 and v2, with what Jina and vLLM add to them: their clients share the form."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from service.api.schemas.lenient import Count, Flag, LenientBody, Priority, Refused
from service.api.schemas.native import SOME, Metadata, Text
from service.api.schemas.unions import Taken, text_or_object

Given = Annotated[
    Annotated[Text, Tag(Taken.TEXT)] | Annotated[Metadata, Tag(Taken.OBJECT)], Discriminator(text_or_object)
]


class RerankBody(LenientBody):
    """Documents to order for a query, as Cohere, Jina, vLLM and Infinity take them."""

    model: Text | None = Field(None, description="a profile, an alias, or any name; see docs/clients.md")
    query: Text
    documents: Annotated[list[Given], SOME] = Field(description="texts, or objects with `text` or the `rank_fields`")
    top_n: Count = Field(None, description="results wanted; all where none is given")
    return_documents: Flag = None
    rank_fields: list[Text] | None = Field(
        None, max_length=100, description="fields of object documents to read, in this order"
    )
    max_tokens_per_doc: Count = Field(None, description="tokens read of a document, if less than the profile's budget")
    max_chunks_per_doc: Count = Field(None, description="met by every number: a document is read as one chunk")
    truncation: Flag = Field(None, description="false: a document that would be cut is refused")
    priority: Priority = Field(None, description="lower is ranked first when not all can be at once")
    truncation_side: Literal["right"] | None = None
    truncate_prompt_tokens: Literal[-1] | None = Field(None, description="-1 alone: as much as the model takes")
    max_tokens_per_query: Refused = None
    instruction: Refused = None


class DocumentAnswer(BaseModel):
    """A document of a request whose documents were texts."""

    text: str


class RerankResult(BaseModel):
    """One ranked document; ``index`` is its position in the request, from 0."""

    index: int
    relevance_score: float = Field(description="in [0, 1], strictly decreasing with rank, comparable within a profile")
    document: DocumentAnswer | Metadata | None = Field(None, description="only with `return_documents`")


class Usage(BaseModel):
    """Tokens of the prompts that the model read; a listwise model reads a document in more than one of them."""

    prompt_tokens: int
    total_tokens: int


class ApiVersion(BaseModel):
    """The version of the dialect."""

    version: str


class BilledUnits(BaseModel):
    """One search unit for a query with up to 100 documents."""

    search_units: int


class Tokens(BaseModel):
    """Tokens of prompts, and of generated text where a profile has its model write an order."""

    input_tokens: int


class Meta(BaseModel):
    """What the request cost, and what was amiss."""

    api_version: ApiVersion
    billed_units: BilledUnits
    tokens: Tokens
    warnings: list[str] | None = Field(None, description="why the order is less than what was asked for")


class RerankAnswer(BaseModel):
    """The ranked documents; ``model`` and ``usage`` are where Jina's and vLLM's clients look."""

    id: str
    model: str = Field(description="the profile that answered")
    results: list[RerankResult]
    usage: Usage
    meta: Meta
