"""Infinity's rerank, under a prefix of its own: its clients read a document as text where vLLM's read an object."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse

from service.api import examples
from service.api.declared import RANKING, errors_of
from service.api.dialects import Backend, sent
from service.api.routes.cohere import asked
from service.api.schemas import cohere, infinity


def router(backend: Backend) -> APIRouter:
    """``/infinity/rerank``."""
    routes = APIRouter(tags=["clients of others"])

    @routes.post(
        "/infinity/rerank",
        summary="As Infinity",
        response_model=infinity.RerankAnswer,
        responses=errors_of("/infinity/rerank", *RANKING),
    )
    async def rerank(
        request: Request, body: Annotated[cohere.RerankBody, Body(openapi_examples=examples.COHERE)]
    ) -> JSONResponse:
        wanted = asked(body)
        answer = await backend.rerank(wanted, request)
        results = [
            infinity.RerankResult(
                index=result.index,
                relevance_score=result.score,
                document=wanted.texts[result.index] if body.return_documents else None,
            )
            for result in answer.results
        ]
        tokens = answer.ranking.prompt_tokens
        ranked = infinity.RerankAnswer(
            id=request.state.request_id,
            created=int(time.time()),
            model=backend.models.profile(body.model),
            results=results,
            usage=cohere.Usage(prompt_tokens=tokens, total_tokens=tokens),
        )
        return sent(ranked, answer)

    return routes
