"""``/v1/search`` and ``/v1/rerank``, the latter shared with clients of Cohere, Jina and vLLM."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic import Discriminator, Tag

from service.api import examples
from service.api.auth import check_index
from service.api.declared import RANKING, errors_of
from service.api.dialects import Backend
from service.api.headers import answer_headers
from service.api.requests import cache_policy, rerank_request, search_request
from service.api.routes.cohere import respond
from service.api.schemas import cohere, native
from service.api.schemas.unions import Taken
from service.api.serialise import rerank_answer, search_answer
from service.domain import Answer, RetrievalMode

_FOREIGN = cohere.RerankBody.model_fields.keys() - native.RerankBody.model_fields.keys()


def _dialect(body: Any) -> Taken:
    """A body with a field that only the other dialects have, as ``model``, is theirs; any other is ours."""
    return Taken.COHERE if isinstance(body, dict) and not _FOREIGN.isdisjoint(body) else Taken.NATIVE


RerankBody = Annotated[
    Annotated[native.RerankBody, Tag(Taken.NATIVE)] | Annotated[cohere.RerankBody, Tag(Taken.COHERE)],
    Discriminator(_dialect),
]


def router(backend: Backend, mode: RetrievalMode) -> APIRouter:
    """The two endpoints; ``mode`` is the first stage of requests that name none."""
    pipeline, limits = backend.pipeline, backend.limits
    routes = APIRouter(tags=["ranking"])

    @routes.post(
        "/v1/search",
        summary="Find passages in an index and rank them",
        response_model=native.SearchAnswer,
        responses=errors_of("/v1/search", *RANKING, 403, 500, 502),
    )
    async def search(
        request: Request, body: Annotated[native.SearchBody, Body(openapi_examples=examples.SEARCH)]
    ) -> Response:
        check_index(request, body.index or pipeline.default_index)
        tenant, cache = backend.tenant(request), cache_policy(request.headers)
        answer = await pipeline.search(search_request(body, limits, mode, tenant=tenant, cache=cache))
        request.state.lasting = answer.lasting
        return _response(search_answer(answer, body, request.state.request_id), answer)

    @routes.post(
        "/v1/rerank",
        summary="Rank documents of your own",
        response_model=native.RerankAnswer | cohere.RerankAnswer,
        responses=errors_of("/v1/rerank", *RANKING, 502),
    )
    async def rerank(request: Request, body: Annotated[RerankBody, Body(openapi_examples=examples.RERANK)]) -> Response:
        """A body with `model`, or another field that only they have, is answered as Cohere, Jina and vLLM do."""
        if isinstance(body, cohere.RerankBody):
            return await respond(backend, body, request, version="1")
        tenant, cache = backend.tenant(request), cache_policy(request.headers)
        answer = await pipeline.rerank(rerank_request(body, limits, tenant=tenant, cache=cache))
        request.state.lasting = answer.lasting
        return _response(rerank_answer(answer, body, request.state.request_id), answer)

    return routes


def _response(body: native.SearchAnswer | native.RerankAnswer, answer: Answer) -> Response:
    """``body`` as it is: FastAPI would hold it to its model once more."""
    return Response(body.model_dump_json(), media_type="application/json", headers=answer_headers(answer))
