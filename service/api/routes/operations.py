"""What operators and machines ask: indexes, profiles, health, metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from service.api.auth import grant_of
from service.api.declared import KEYED, errors_of
from service.api.schemas.operations import IndexBody, ProfileBody, ReadyBody
from service.observability.prometheus import CONTENT_TYPE
from service.pipeline import Pipeline


def router(
    pipeline: Pipeline,
    indexes: Callable[[], Sequence[IndexBody]],
    profiles: Callable[[], Sequence[ProfileBody]],
    exposition: Callable[[], bytes],
    accepting: Callable[[], bool],
) -> APIRouter:
    """The endpoints; the callables give the state of the moment."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/v1/indexes", summary="Indexes being served", responses=errors_of("/v1/indexes", *KEYED))
    async def list_indexes(request: Request) -> list[IndexBody]:
        """Those that the caller's API key allows."""
        grant = grant_of(request)
        return [index for index in indexes() if grant is None or grant.allows(index.name)]

    @routes.get("/v1/profiles", summary="Profiles being served", responses=errors_of("/v1/profiles", *KEYED))
    async def list_profiles() -> list[ProfileBody]:
        return list(profiles())

    @routes.get("/livez", summary="Whether the process works at all")
    async def livez() -> dict[str, bool]:
        return {"live": True}

    @routes.get(
        "/readyz",
        summary="Whether requests should be sent here",
        responses={503: {"model": ReadyBody, "description": "The service is about to end"}},
    )
    async def readyz(response: Response) -> ReadyBody:
        """503 once the service is about to end.

        A reranker that is down degrades answers but does not make the service unready: searches go on.
        """
        engines = {name: await ranker.scorer.ready() for name, ranker in pipeline.rankers.items()}
        versions = {name: stage.version for name, stage in pipeline.first_stages.items()}
        response.status_code = HTTPStatus.OK if accepting() else HTTPStatus.SERVICE_UNAVAILABLE
        return ReadyBody(ready=accepting(), indexes=versions, engines=engines)

    @routes.get("/metrics", summary="Metrics in Prometheus' text format", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(exposition(), media_type=CONTENT_TYPE)

    return routes
