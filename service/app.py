"""The ASGI application: the house with its doors, one router for each dialect, and what stands before them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.middleware.cors import CORSMiddleware

from service import __version__
from service.api import description
from service.api import errors as api_errors
from service.api.auth import Authentication
from service.api.dialects import Backend
from service.api.headers import ACCEPTED, EXPOSED
from service.api.hot_answers import HotAnswers
from service.api.keys import KeyRing
from service.api.middleware import BodyLimit, RequestContext
from service.api.model_names import ModelNames
from service.api.routes import admin, cohere, infinity, native, operations, playground, tei, vllm, voyage
from service.api.schemas.operations import IndexBody, ProfileBody
from service.api.tracing import Tracing
from service.api.under_way import RequestLifetime, UnderWay
from service.house import compose
from service.observability.events import Notify
from service.observability.logs import configure
from service.pipeline import Pipeline
from service.ranking.auto import AUTO
from service.ranking.ranker import Ranker
from service.retrieval.live_index import LiveIndex
from service.settings import CacheKind, EngineKind, EngineSettings, IndexSettings, ServerSettings, Settings, load


def create_app(settings: Settings | None = None, under_way: UnderWay | None = None) -> FastAPI:
    """The ASGI application; without ``settings``, of this process's environment.

    ``under_way`` is for servers that drain it before they end.
    """
    settings = settings or load()
    under_way = under_way or UnderWay(settings.admission.requests)
    configure(settings.logs.level, json_lines=settings.logs.json_lines)
    house = compose(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            await house.open()
            async with house.indexes.watched(settings.indexes.watch_s):
                yield
        finally:
            await house.close()

    app = FastAPI(
        title="Onepass",
        summary="Online listwise reranking: one forward pass, a few logits",
        version=__version__,
        description=description.introduction(),
        openapi_tags=description.groups(),
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # FastAPI's own: it records exceptions' texts
        docs_url=None,  # both pages load scripts from elsewhere
        redoc_url=None,
    )
    backend = _backend(settings, house.pipeline)
    app.include_router(native.router(backend, settings.indexes.mode))
    app.include_router(tei.router(backend, lambda: not under_way.draining))
    for dialect in (cohere, voyage, infinity, vllm):
        app.include_router(dialect.router(backend))
    app.include_router(
        operations.router(
            house.pipeline,
            lambda: [_index_body(index, house.pipeline.default_index) for index in house.indexes.live.values()],
            lambda: [_profile_body(ranker, settings.ranking.profile) for ranker in house.rankers],
            house.metrics.exposition,
            lambda: not under_way.draining,
        )
    )
    if settings.server.admin_key is not None:

        async def reload(name: str) -> IndexBody:
            return _index_body(await house.indexes.reload(name), house.pipeline.default_index)

        app.include_router(admin.router(settings.server.admin_key, reload))
    app.include_router(playground.router())
    api_errors.install(app)
    app.add_middleware(BodyLimit, limit=settings.limits.body_bytes)
    app.add_middleware(RequestLifetime, under_way=under_way, observer=house.observers)
    _guard(app, settings.server, house.observers.observe)
    app.add_middleware(RequestContext, observer=house.observers)
    if settings.cache.kind is not CacheKind.OFF and settings.cache.hot_s:
        app.add_middleware(
            HotAnswers,
            keep_s=settings.cache.hot_s,
            stamp=lambda: house.pipeline.versions,
            tenant=settings.server.tenant_header,
            observer=house.observers,
        )
    if house.tracer is not None:
        app.add_middleware(Tracing, tracer=house.tracer)
    return app


def openapi_document() -> dict[str, Any]:
    """The description of every endpoint that there can be, whatever the settings of this process."""
    settings = Settings.model_construct(
        server=ServerSettings(admin_key=SecretStr("shown nowhere")),
        engine=EngineSettings(kind=EngineKind.FAKE),
        indexes=IndexSettings(directory=Path("/nonexistent")),
    )
    return create_app(settings).openapi()


def _guard(app: FastAPI, settings: ServerSettings, notify: Notify) -> None:
    """Ask callers for a key and let pages of other origins in, each where the settings say so."""
    if settings.api_keys_file is not None:
        app.add_middleware(Authentication, keys=KeyRing(settings.api_keys_file, notify))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=ACCEPTED,
            expose_headers=EXPOSED,
        )


def _backend(settings: Settings, pipeline: Pipeline) -> Backend:
    wanted = settings.ranking
    models = ModelNames(pipeline.rankers, wanted.aliases, default=wanted.profile, any_model=wanted.any_model)
    return Backend(pipeline, settings.limits, models, tenant_header=settings.server.tenant_header)


def _index_body(index: LiveIndex, default: str | None) -> IndexBody:
    manifest = index.manifest
    return IndexBody(
        name=index.name,
        version=index.version,
        default=index.name == default,
        documents=manifest.documents,
        embedder=manifest.embedder,
        faiss=manifest.factory,
    )


def _profile_body(ranker: Ranker, default: str) -> ProfileBody:
    profile = ranker.profile
    return ProfileBody(
        name=profile.name,
        description=profile.description,
        model=ranker.scorer.model,
        default=profile.name == default,
        window=profile.window,
        passage_tokens=profile.passage_tokens,
        query_tokens=profile.query_tokens,
        strategy=ranker.strategy,
        strategies=[*profile.strategies, AUTO],
    )
