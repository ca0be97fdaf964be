"""``/v1/search`` and ``/v1/rerank``, the latter shared with clients of Cohere, Jina and vLLM."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Discriminator, Tag

from service.api import examples
from service.api.auth import check_index
from service.api.dialects import Backend
from service.api.headers import answer_headers
from service.api.requests import cache_policy, rerank_request, search_request
from service.api.routes.cohere import respond
from service.api.schemas import cohere, native
from service.api.schemas.lenient import Taken
from service.api.serialise import rerank_answer, search_answer
from service.domain import RetrievalMode

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": native.ErrorBody, "description": description}
    for status, description in {
        400: "The body is not JSON",
        401: "No API key, or one that is not known",
        403: "An index that the API key does not allow",
        404: "No index, profile or strategy of that name",
        413: "A size above its limit",
        422: "A field that cannot be used",
        429: "More than can be ranked in time, or than the API key allows; `Retry-After` says when to come back",
        500: "The first stage failed",
        502: "`strict`: a model answered uselessly",
        503: "`strict`: a model cannot be reached; or the service is shutting down",
        504: "Time ran out before there was anything to give, or `strict`; `only-if-cached`, and nothing is kept",
    }.items()
}


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
    routes = APIRouter(prefix="/v1", tags=["ranking"], responses=ERRORS)

    @routes.post("/search", summary="Find passages in an index and rank them")
    async def search(
        request: Request, response: Response, body: Annotated[native.SearchBody, Body(openapi_examples=examples.SEARCH)]
    ) -> native.SearchAnswer:
        check_index(request, body.index or pipeline.default_index)
        tenant, cache = backend.tenant(request), cache_policy(request.headers)
        answer = await pipeline.search(search_request(body, limits, mode, tenant=tenant, cache=cache))
        request.state.lasting = answer.lasting
        response.headers.update(answer_headers(answer))
        return search_answer(answer, body, request.state.request_id)

    @routes.post(
        "/rerank", summary="Rank documents of your own", response_model=native.RerankAnswer | cohere.RerankAnswer
    )
    async def rerank(
        request: Request, response: Response, body: Annotated[RerankBody, Body(openapi_examples=examples.RERANK)]
    ) -> native.RerankAnswer | JSONResponse:
        """A body with `model`, or another field that only they have, is answered as Cohere, Jina and vLLM do."""
        if isinstance(body, cohere.RerankBody):
            return await respond(backend, body, request, version="1")
        tenant, cache = backend.tenant(request), cache_policy(request.headers)
        answer = await pipeline.rerank(rerank_request(body, limits, tenant=tenant, cache=cache))
        request.state.lasting = answer.lasting
        response.headers.update(answer_headers(answer))
        return rerank_answer(answer, body, request.state.request_id)

    return routes
