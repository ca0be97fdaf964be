"""Voyage's rerank bodies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from service.api.schemas.lenient import Count, Flag, LenientBody
from service.api.schemas.native import SOME, Text


class RerankBody(LenientBody):
    """Documents to order for a query."""

    model: Text | None = Field(None, description="a profile, an alias, or any name; see docs/clients.md")
    query: Text
    documents: Annotated[list[Text], SOME]
    top_k: Count = None
    return_documents: Flag = None
    truncation: Flag = Field(None, description="false: a document that would be cut is refused")


class RerankResult(BaseModel):
    """One ranked document; ``index`` is its position in the request, from 0."""

    index: int
    relevance_score: float
    document: str | None = None


class Usage(BaseModel):
    """Tokens of the prompts that the model read."""

    total_tokens: int


class RerankAnswer(BaseModel):
    """The ranked documents."""

    object: Literal["list"] = "list"
    data: list[RerankResult]
    model: str = Field(description="the profile that answered")
    usage: Usage
