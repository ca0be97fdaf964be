"""Infinity's rerank answer. Its request is Cohere's."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from service.api.schemas.cohere import Usage


class RerankResult(BaseModel):
    """One ranked document; ``index`` is its position in the request, from 0."""

    index: int
    relevance_score: float
    document: str | None = Field(None, description="what was read of it, only with `return_documents`")


class RerankAnswer(BaseModel):
    """The ranked documents."""

    id: str
    object: Literal["rerank"] = "rerank"
    created: int = Field(description="seconds since 1970")
    model: str = Field(description="the profile that answered")
    results: list[RerankResult]
    usage: Usage
