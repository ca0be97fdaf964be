"""``/rerank``, where Text Embeddings Inference and vLLM both serve theirs, with what else clients of TEI ask for."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Discriminator, Tag

from service import __version__
from service.api import examples
from service.api.declared import KEYED, RANKING, errors_of
from service.api.dialects import Asked, Backend, logit
from service.api.headers import answer_headers
from service.api.routes.cohere import respond
from service.api.schemas import cohere, tei
from service.api.schemas.unions import Taken


def _dialect(body: Any) -> Taken:
    """TEI calls its documents ``texts``; nobody else does."""
    return Taken.TEI if isinstance(body, dict) and "texts" in body else Taken.COHERE


RerankBody = Annotated[
    Annotated[tei.RerankBody, Tag(Taken.TEI)] | Annotated[cohere.RerankBody, Tag(Taken.COHERE)], Discriminator(_dialect)
]


def router(backend: Backend, accepting: Callable[[], bool]) -> APIRouter:
    """``/rerank``, ``/info`` and ``/health``; ``accepting`` tells whether the service goes on."""
    routes = APIRouter(tags=["clients of others"])

    @routes.post(
        "/rerank",
        summary="As TEI, or as vLLM",
        response_model=list[tei.Rank] | cohere.RerankAnswer,
        responses=errors_of("/rerank", *RANKING),
    )
    async def rerank(
        request: Request, body: Annotated[RerankBody, Body(openapi_examples=examples.TEI)]
    ) -> JSONResponse:
        """``texts`` make it TEI's, ``documents`` the form that vLLM shares with Cohere and Jina."""
        if isinstance(body, cohere.RerankBody):
            return await respond(backend, body, request, version="1")
        return await _ranks(backend, body, request)

    @routes.get("/info", summary="As TEI: what is served", responses=errors_of("/info", *KEYED))
    async def info() -> tei.InfoAnswer:
        pipeline = backend.pipeline
        ranker = pipeline.rankers[pipeline.default_profile]
        model, _, revision = ranker.scorer.model.partition("@")
        return tei.InfoAnswer(
            model_id=model,
            model_sha=revision or None,
            max_input_length=ranker.profile.query_tokens + ranker.profile.passage_tokens,
            max_client_batch_size=backend.limits.documents,
            version=__version__,
        )

    @routes.get(
        "/health",
        summary="As TEI and vLLM: 200 while requests may be sent here",
        response_class=Response,
        responses={503: {"description": "The service is about to end"}},
    )
    async def health() -> Response:
        return Response(status_code=HTTPStatus.OK if accepting() else HTTPStatus.SERVICE_UNAVAILABLE)

    return routes


async def _ranks(backend: Backend, body: tei.RerankBody, request: Request) -> JSONResponse:
    asked = Asked(
        query=body.query,
        texts=body.texts,
        texts_field="texts",
        top_n=body.top_n,
        truncate=body.truncate is not False,
    )
    answer = await backend.rerank(asked, request)
    ranks = [
        tei.Rank(
            index=result.index,
            score=logit(result.score) if body.raw_scores else result.score,
            text=body.texts[result.index] if body.return_text else None,
        )
        for result in answer.results
    ]
    return JSONResponse([rank.model_dump(exclude_none=True) for rank in ranks], headers=answer_headers(answer))
