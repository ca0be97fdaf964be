"""Everything that answers requests, made of settings: the part of the composition that knows concrete stores.

Commands that need no HTTP begin here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.admission.admission import Admission
from service.cache.answers import AnswerCache, Lifetimes
from service.cache.memory import MemoryStore
from service.cache.redis import RedisOptions, RedisStore
from service.cache.store import Store
from service.encoders.encoders import SHIPPED, Encoders
from service.engines import build_ranker
from service.errors import ConfigurationError
from service.observability.events import Observer, Observers
from service.observability.logs import LogObserver
from service.observability.prometheus import PrometheusObserver
from service.observability.spans import Tracer
from service.pipeline import Pipeline
from service.ranking.ranker import Ranker
from service.reranking import Reranking
from service.retrieval.embedding.embedder import Embedder
from service.retrieval.embedding.encoder_embedder import EncoderEmbedder
from service.retrieval.embedding.openai_http import OpenAIEmbedder, OpenAIOptions
from service.retrieval.embedding.static import DEFAULT_FOLDER, StaticEmbedder
from service.retrieval.feedback import Feedback
from service.retrieval.index_catalogue import IndexCatalogue
from service.retrieval.local_first_stage import Options
from service.retrieval.milvus.options import MilvusOptions
from service.settings import CacheKind, EmbedderKind, EngineKind, Settings

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
    encoders = build_encoders(settings) if settings.embedder.kind is EmbedderKind.ENCODERS else None
    embedder = build_embedder(settings, encoders)
    indexes = _open_indexes(settings, embedder, observers)
    rankers = [build_ranker(settings, name, observers.observe, encoders) for name in _profile_names(settings)]
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


def build_encoders(settings: Settings) -> Encoders:
    """The pair of encoders that the settings name. Raises ``ProfileError`` where it cannot be read."""
    return Encoders(settings.embedder.folder or SHIPPED, threads=settings.engine.threads)


def build_embedder(settings: Settings, encoders: Encoders | None = None) -> Embedder:
    """What indexes are built and searched with, over ``encoders`` where it is of that kind and they are loaded already.

    Raises:
        ConfigurationError, ProfileError: it cannot be made.
    """
    wanted = settings.embedder
    if wanted.kind is EmbedderKind.ENCODERS:
        return EncoderEmbedder(encoders or build_encoders(settings))
    if wanted.kind is EmbedderKind.STATIC:
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


def _reranking(settings: Settings, observer: Observer) -> Reranking:
    wanted = settings.admission
    engine = settings.engine
    usual = VLLM_CAPACITY_TOKENS * len(engine.urls) if engine.kind is EngineKind.VLLM else CAPACITY_TOKENS
    capacity = (wanted.capacity_tokens or usual) if wanted.enabled else math.inf
    admission = Admission(capacity, observer)
    return Reranking(admission, overflow=wanted.overflow, ladder=wanted.enabled and wanted.ladder)


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
