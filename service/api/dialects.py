"""What stands behind every endpoint that ranks, and most of all those that speak the dialect of another service.

Such a route turns its body into an ``Asked``, gets the pipeline's answer for it, and writes that in its own form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import anyio.to_thread
from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from service.api.auth import asking_tenant
from service.api.headers import answer_headers
from service.api.model_names import ModelNames
from service.api.requests import cache_policy, check_documents, check_query
from service.domain import Answer, Document, RerankOptions, RerankRequest
from service.errors import InputTooLarge
from service.pipeline import Pipeline
from service.settings import LimitSettings


@dataclass(frozen=True, slots=True)
class Asked:
    """A rerank request as every dialect can say it.

    ``query_field`` and ``texts_field`` are what the dialect calls these two, for errors to name. Without ``truncate``,
    a text that the model would not read to its end is refused. A higher ``priority`` is ranked first.
    """

    query: str
    texts: Sequence[str]
    query_field: str = "query"
    texts_field: str = "documents"
    model: str | None = None
    top_n: int | None = None
    passage_tokens: int | None = None
    truncate: bool = True
    priority: int = 0


class Backend:
    """What every endpoint that ranks stands on: ``pipeline``, the ``limits`` of requests, and who asks."""

    def __init__(
        self, pipeline: Pipeline, limits: LimitSettings, models: ModelNames, *, tenant_header: str | None = None
    ) -> None:
        self.pipeline = pipeline
        self.limits = limits
        self.models = models
        self._tenant_header = tenant_header

    def tenant(self, http: Request) -> str | None:
        """On whose behalf a request asks.

        Raises:
            InvalidInput: the header that should say names nobody.
        """
        return asking_tenant(http, self._tenant_header)

    async def rerank(self, asked: Asked, http: Request) -> Answer:
        """The ranked texts of a request.

        Raises:
            InvalidInput, InputTooLarge, NotFound: naming the field.
            OnepassError: as the pipeline does.
        """
        check_query(asked.query, self.limits, asked.query_field)
        documents = tuple(Document(str(position), text) for position, text in enumerate(asked.texts))
        check_documents(documents, self.limits, asked.texts_field, part="")
        profile = self.models.profile(asked.model)
        if not asked.truncate:
            await self._refuse_overlong(documents, profile, asked.texts_field)
        return await self.pipeline.rerank(
            RerankRequest(
                query=asked.query,
                documents=documents,
                timeout_ms=self.limits.timeout_ms,
                top_n=asked.top_n,
                rerank=RerankOptions(profile=profile, passage_tokens=asked.passage_tokens),
                tenant=self.tenant(http),
                cache=cache_policy(http.headers),
                priority=asked.priority,
            )
        )

    async def _refuse_overlong(self, documents: Sequence[Document], profile: str, field: str) -> None:
        builder = self.pipeline.rankers[profile].builder
        position = await anyio.to_thread.run_sync(builder.overlong, documents)
        if position is not None:
            where, budget = f"{field}[{position}]", builder.profile.passage_tokens
            raise InputTooLarge(f"{where} is longer than the {budget} tokens that are read of a text", field=where)


def sent(body: BaseModel, answer: Answer) -> JSONResponse:
    """``body`` without what is null in it, as other services write it, with the headers that tell about ``answer``."""
    return JSONResponse(body.model_dump(exclude_none=True), headers=answer_headers(answer))


def logit(score: float) -> float:
    """What a score would be before the sigmoid."""
    return math.log(score / (1 - score))
