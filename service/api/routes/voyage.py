"""Voyage's rerank, under a prefix of its own: its base URL is ``/voyage/v1``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse

from service.api import examples
from service.api.declared import RANKING, errors_of
from service.api.dialects import Asked, Backend, sent
from service.api.schemas import voyage


def router(backend: Backend) -> APIRouter:
    """``/voyage/v1/rerank``."""
    routes = APIRouter(tags=["clients of others"])

    @routes.post(
        "/voyage/v1/rerank",
        summary="As Voyage",
        response_model=voyage.RerankAnswer,
        responses=errors_of("/voyage/v1/rerank", *RANKING),
    )
    async def rerank(
        request: Request, body: Annotated[voyage.RerankBody, Body(openapi_examples=examples.VOYAGE)]
    ) -> JSONResponse:
        asked = Asked(
            query=body.query,
            texts=body.documents,
            model=body.model,
            top_n=body.top_k,
            truncate=body.truncation is not False,
        )
        answer = await backend.rerank(asked, request)
        results = [
            voyage.RerankResult(
                index=result.index,
                relevance_score=result.score,
                document=body.documents[result.index] if body.return_documents else None,
            )
            for result in answer.results
        ]
        usage = voyage.Usage(total_tokens=answer.ranking.prompt_tokens)
        model = backend.models.profile(body.model)
        return sent(voyage.RerankAnswer(data=results, model=model, usage=usage), answer)

    return routes
