"""The composition root: settings in, a running service out.

The only file that knows concrete classes; the command line reaches them through it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.middleware.cors import CORSMiddleware

from service import __version__
from service.admission.admission import Admission
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
from service.cache.answers import AnswerCache, Lifetimes
from service.cache.memory import MemoryStore
from service.cache.redis import RedisOptions, RedisStore
from service.cache.store import Store
from service.engine.fake import FakeScorer
from service.engine.onnx import onnx_scorer
from service.engine.scorer import Scorer
from service.engine.vllm.arguments import facts_of, server_arguments
from service.engine.vllm.discovery import GENERATED, Needs
from service.engine.vllm.export_head import CONFIG, export_head
from service.engine.vllm.permutation import Generation
from service.engine.vllm.reading import Manners, Mode
from service.engine.vllm.scorer import VllmOptions, VllmScorer
from service.errors import ConfigurationError
from service.observability.events import Notify, Observer, Observers
from service.observability.logs import LogObserver, configure
from service.observability.prometheus import PrometheusObserver
from service.observability.spans import Tracer
from service.pipeline import Pipeline
from service.ranking import profile as profiles
from service.ranking.auto import AUTO
from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder
from service.ranking.ranker import Ranker
from service.ranking.readings import Reading
from service.ranking.sources import fetched
from service.reranking import Reranking
from service.retrieval.embedding.builtin import DEFAULT_FOLDER, StaticEmbedder
from service.retrieval.embedding.embedder import Embedder
from service.retrieval.embedding.openai_http import OpenAIEmbedder, OpenAIOptions
from service.retrieval.feedback import Feedback
from service.retrieval.index_catalogue import IndexCatalogue
from service.retrieval.live_index import LiveIndex
from service.retrieval.local_first_stage import Options
from service.retrieval.milvus.options import MilvusOptions
from service.settings import (
    CacheKind,
    EmbedderKind,
    EngineKind,
    EngineSettings,
    IndexSettings,
    ServerSettings,
    Settings,
    load,
)

CAPACITY_TOKENS = 4_096
"""Under way at once where one forward pass follows the other: two or three lists of 20, so that the engine has always a
next window, and who comes next is decided in the fair queue and not in the engine's."""

VLLM_CAPACITY_TOKENS = 262_144
"""Under way at once for each vLLM URL: of a list read in nine rounds, one ninth is at the server at any moment."""


@dataclass(frozen=True, slots=True)
class House:
    """Everything that answers requests, and what must be closed after the last one."""

    pipeline: Pipeline
    indexes: IndexCatalogue
    rankers: Sequence[Ranker]
    embedder: Embedder
    answers: AnswerCache
    metrics: PrometheusObserver
    observers: Observers
    tracer: Tracer | None

    async def open(self) -> None:
        """Look at the model servers for the first time. Raises ``ConfigurationError`` for one that cannot be used."""
        for ranker in self.rankers:
            await ranker.scorer.open()
        await self.answers.open()

    async def close(self) -> None:
        """Release threads, files and connections."""
        await self.answers.close()
        for ranker in self.rankers:
            await ranker.scorer.close()
        await self.indexes.close()
        await self.embedder.close()
        if self.tracer is not None:
            await asyncio.to_thread(self.tracer.close)


def compose(settings: Settings) -> House:
    """Open the indexes and load the models that ``settings`` name.

    Raises:
        ConfigurationError, ProfileError, IndexFolderError: what cannot be opened, and why.
    """
    metrics = PrometheusObserver()
    observers = Observers([metrics, LogObserver(requests=settings.logs.requests, queries=settings.logs.queries)])
    embedder = build_embedder(settings)
    indexes = _open_indexes(settings, embedder, observers)
    rankers = [build_ranker(settings, name, observers.observe) for name in _profile_names(settings)]
    answers = AnswerCache(build_store(settings), _lifetimes(settings), observers)
    pipeline = Pipeline(
        indexes.live,
        {ranker.profile.name: ranker for ranker in rankers},
        default_index=_default_index(settings, list(indexes.live)),
        default_profile=settings.ranking.profile,
        reranking=_reranking(settings, observers),
        feedback=Feedback(embedder),
        observer=observers,
        answers=answers,
    )
    return House(pipeline, indexes, rankers, embedder, answers, metrics, observers, build_tracer(settings))


@asynccontextmanager
async def build_pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    """The pipeline alone, for commands that need no HTTP."""
    house = compose(settings)
    try:
        await house.open()
        yield house.pipeline
    finally:
        await house.close()


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


def build_embedder(settings: Settings) -> Embedder:
    """The encoder that indexes are built and searched with. Raises ``ConfigurationError`` where it cannot be made."""
    wanted = settings.embedder
    if wanted.kind is EmbedderKind.BUILTIN:
        return StaticEmbedder(wanted.folder or DEFAULT_FOLDER)
    if wanted.url is None or wanted.model is None or wanted.dimension is None:
        raise ConfigurationError("an openai embedder needs a url, a model and a dimension")
    options = OpenAIOptions(
        api_key=wanted.api_key,
        query_prefix=wanted.query_prefix,
        passage_prefix=wanted.passage_prefix,
        batch_size=wanted.batch,
        concurrency=wanted.concurrency,
    )
    return OpenAIEmbedder(wanted.url, wanted.model, wanted.dimension, options)


def milvus_options(settings: Settings) -> MilvusOptions | None:
    """Where the passages of indexes without files are, if the settings say so."""
    wanted = settings.indexes
    return None if wanted.milvus_url is None else MilvusOptions(wanted.milvus_url, wanted.milvus_token)


def build_store(settings: Settings) -> Store | None:
    """Where answers are kept."""
    wanted = settings.cache
    match wanted.kind:
        case CacheKind.OFF:
            return None
        case CacheKind.MEMORY:
            return MemoryStore(wanted.memory_bytes)
        case CacheKind.REDIS:
            if wanted.url is None:
                raise ConfigurationError("a redis cache needs a url")
            options = RedisOptions(namespace=wanted.namespace, limit_s=wanted.limit_ms / 1000)
            return RedisStore(wanted.url.get_secret_value(), options)


def build_tracer(settings: Settings) -> Tracer | None:
    """Where spans go. Raises ``ConfigurationError`` where they are asked for and cannot be sent."""
    wanted = settings.traces
    if wanted.endpoint is None:
        return None
    try:
        from service.observability.otlp import OtlpTracer  # noqa: PLC0415  only installed where it is wanted
    except ImportError as error:
        raise ConfigurationError("traces need OpenTelemetry's SDK: pip install 'onepass[otel]'") from error
    return OtlpTracer(wanted.endpoint, sample=wanted.sample, name=wanted.service)


def _lifetimes(settings: Settings) -> Lifetimes:
    return Lifetimes(settings.cache.fresh_s, settings.cache.stale_s)


def vllm_arguments(profile: Profile, mode: Mode | None = None, model: Path | None = None) -> list[str]:
    """The arguments of a vLLM server for a profile, whose model lies in ``model``, in its own folder, or at its hub.

    Without ``mode``, the one that every server of the profile's reading has.

    Raises:
        ProfileError: there is no ``config.json``.
        ConfigurationError: the model cannot be served in that mode; the message says what to do instead.
    """
    builder, usual = PromptBuilder(profile), _USUAL_MODE[profile.reading]
    if mode not in {None, usual} and not profile.reading.by_token:
        raise ConfigurationError(f"{profile.name} is served with --mode {usual}, not {mode}")
    folder, at_hub = model or profile.directory, None
    if model is None and profile.hub is not None and not (folder / CONFIG).exists():
        folder, at_hub = fetched(profile.hub, CONFIG).parent, profile.hub
    facts = facts_of(
        folder,
        name=profile.model,
        label_tokens=builder.label_tokens,
        prompt_tokens=profile.context_tokens,
        generated=profile.generation.max_tokens if profile.generation else GENERATED,
        model=at_hub.name if at_hub else None,
        revision=at_hub.revision if at_hub else None,
    )
    return server_arguments(facts, mode or usual)


_USUAL_MODE = {
    Reading.LISTWISE: Mode.DECODE,
    Reading.POINTWISE: Mode.DECODE,
    Reading.GRADED: Mode.DECODE,
    Reading.PERMUTATION: Mode.PERMUTATION,
    Reading.EMBEDDING: Mode.EMBED,
}


def write_head(profile: Profile, target: Path) -> None:
    """Write a profile's model with its labels' output rows as a classification head, for vLLM to serve.

    Raises:
        ProfileError: the profile's folder does not hold a causal language model.
    """
    export_head(profile.directory, PromptBuilder(profile).label_ids, target)


def find_profile(settings: Settings, name: str | None = None) -> Profile:
    """The profile of that name, or the default one."""
    wanted = settings.ranking
    return profiles.find(name or wanted.profile, wanted.profiles_directory, wanted.models_directory)


def passage_encoder(settings: Settings, name: str | None = None) -> PromptBuilder:
    """What tokenises passages for a profile when an index is built."""
    return PromptBuilder(find_profile(settings, name))


def build_ranker(settings: Settings, name: str | None = None, notify: Notify = lambda _: None) -> Ranker:
    """A ranker for a profile, with its engine, which is still to be opened; ``notify`` hears what happens to it."""
    builder = passage_encoder(settings, name)
    return Ranker(
        builder,
        _scorer(settings, builder, notify),
        strategy=settings.ranking.strategy,
        most_prompts=settings.limits.prompts,
    )


def vllm_needs(builder: PromptBuilder, model: str | None = None) -> Needs:
    """What a profile needs of a vLLM server that serves ``model``."""
    profile = builder.profile
    written = profile.generation
    generation = None if written is None else Generation(profile.labels, **written.model_dump())
    embeds = profile.reading is Reading.EMBEDDING
    return Needs(builder.label_ids, profile.context_tokens, model=model, generation=generation, embeds=embeds)


def _scorer(settings: Settings, builder: PromptBuilder, notify: Notify) -> Scorer:
    engine = settings.engine
    match engine.kind:
        case EngineKind.FAKE:
            return FakeScorer()
        case EngineKind.ONNX:
            if not builder.profile.reading.by_token:
                raise ConfigurationError(f"the profile {builder.profile.name} needs vLLM: set engine.kind")
            return onnx_scorer(
                builder.profile.directory, threads=engine.threads, queue_prompts=engine.queue_prompts, notify=notify
            )
        case EngineKind.VLLM:
            key = engine.api_key.get_secret_value() if engine.api_key else None
            options = VllmOptions(engine.urls, key, engine.call_tokens, Manners(priority=engine.priority))
            return VllmScorer(options, vllm_needs(builder, engine.model), notify)


def _reranking(settings: Settings, observer: Observer) -> Reranking:
    wanted = settings.admission
    engine = settings.engine
    usual = VLLM_CAPACITY_TOKENS * len(engine.urls) if engine.kind is EngineKind.VLLM else CAPACITY_TOKENS
    capacity = (wanted.capacity_tokens or usual) if wanted.enabled else math.inf
    admission = Admission(capacity, observer)
    return Reranking(admission, overflow=wanted.overflow, ladder=wanted.enabled and wanted.ladder)


def _backend(settings: Settings, pipeline: Pipeline) -> Backend:
    wanted = settings.ranking
    models = ModelNames(pipeline.rankers, wanted.aliases, default=wanted.profile, any_model=wanted.any_model)
    return Backend(pipeline, settings.limits, models, tenant_header=settings.server.tenant_header)


def _profile_names(settings: Settings) -> list[str]:
    return list(dict.fromkeys([settings.ranking.profile, *settings.ranking.profiles]))


def _open_indexes(settings: Settings, embedder: Embedder, observer: Observer) -> IndexCatalogue:
    wanted = settings.indexes
    options = Options(threads=wanted.threads, checksums=wanted.verify, gpu=wanted.gpu, milvus=milvus_options(settings))
    return IndexCatalogue.open(wanted.directory, embedder, options, observer)


def _default_index(settings: Settings, names: Sequence[str]) -> str | None:
    wanted = settings.indexes.default
    if wanted is None:
        return names[0] if len(names) == 1 else None
    if wanted not in names:
        raise ConfigurationError(f"the default index {wanted} is not in {settings.indexes.directory}")
    return wanted


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
