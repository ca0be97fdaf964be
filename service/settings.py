"""Every setting of the service, as one frozen tree. The only file that reads the environment.

A setting is an environment variable: ``ONEPASS_`` and the path of the field joined by ``__``, such as
``ONEPASS_ENGINE__THREADS=4``. ``docs/settings.md`` lists them all.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.domain import RetrievalMode
from service.errors import ConfigurationError


class Section(BaseModel):
    """A part of the tree: frozen, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbedderKind(StrEnum):
    """Where query and passage vectors come from."""

    ENCODERS = "encoders"
    STATIC = "static"
    OPENAI = "openai"


class EngineKind(StrEnum):
    """What reads the label logits."""

    ENCODERS = "encoders"
    VLLM = "vllm"
    FAKE = "fake"


class Overflow(StrEnum):
    """What becomes of a search whose ranking is not admitted."""

    FIRST_STAGE = "first_stage"
    REFUSE = "refuse"


class ServerSettings(Section):
    """Where the service listens."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    shutdown_grace_s: float = Field(20.0, ge=0, description="seconds given to requests in flight after SIGTERM")
    drain_delay_s: float = Field(
        0.0, ge=0, description="seconds after SIGTERM in which /readyz fails and connections are still accepted"
    )
    tenant_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9-]*$",
        description="request header that names the tenant; a proxy that you trust sets it",
    )
    admin_key: SecretStr | None = Field(
        None, min_length=1, description="bearer token of the endpoints that change what is served; else there are none"
    )
    api_keys_file: Path | None = Field(
        None, description="file of API keys, see `onepass keys new`; without one, anybody may ask"
    )
    cors_origins: tuple[str, ...] = Field(
        (), description='origins whose pages may call, a JSON list such as ["https://example.org"], or ["*"]'
    )
    tls_certificate: Path | None = Field(None, description="file of the TLS certificate and its chain, as PEM")
    tls_key: Path | None = Field(None, description="file of the certificate's private key, as PEM")

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together")
        return self


class IndexSettings(Section):
    """Which indexes are served, and how they are opened."""

    directory: Path = Field(Path("data/indexes"), description="folder that holds one folder for each index")
    default: str | None = Field(None, description="index used when a request names none; the only one if there is one")
    mode: RetrievalMode = Field(RetrievalMode.HYBRID, description="first stage used when a request names none")
    verify: bool = Field(True, description="compare every file with its checksum when an index is opened")
    gpu: bool = Field(False, description="search on the GPU; needs the GPU build of FAISS")
    threads: int = Field(2, ge=1, description="threads that search indexes")
    watch_s: float = Field(5, ge=0, description="seconds between looks for new versions of indexes; 0 turns it off")
    milvus_url: str | None = Field(
        None,
        pattern="^https?://[^@]+$",
        description="Milvus server that holds the passages of indexes built with --milvus; see docs/scaling.md",
    )
    milvus_token: SecretStr | None = Field(None, description="token sent to it")


class EmbedderSettings(Section):
    """What turns queries and passages into vectors for the first stage."""

    kind: EmbedderKind = Field(
        EmbedderKind.ENCODERS,
        description="encoders, a dense and a sparse one; static, which is quicker and weaker; openai, an HTTP server",
    )
    folder: Path | None = Field(None, description="folder of weights for the first two kinds; else those that ship")
    url: str | None = Field(None, description="base URL of an OpenAI-compatible server, up to and including /v1")
    model: str | None = Field(None, description="model name sent to that server")
    api_key: SecretStr | None = Field(None, description="bearer token sent to that server")
    dimension: int | None = Field(None, ge=1, description="length of that model's vectors")
    batch: int = Field(32, ge=1, description="texts in one call to that server")
    concurrency: int = Field(4, ge=1, description="calls to that server at once")
    query_prefix: str = Field("", description="text put before each query")
    passage_prefix: str = Field("", description="text put before each passage")


class EngineSettings(Section):
    """The language model that ranks."""

    kind: EngineKind = Field(EngineKind.ENCODERS, description="encoders in this process, vllm, or fake")
    threads: int = Field(2, ge=1, description="texts that the encoders read at a time")
    queue_passages: int = Field(
        4096, ge=1, description="passages that may wait for the encoders; more are refused at once"
    )
    passage_bytes: int = Field(
        64_000_000, ge=0, description="memory for what the encoders made of passages of rerank requests"
    )
    urls: tuple[str, ...] = Field(
        (), description="vLLM servers, a JSON list; dns+http://name:port stands for every address of a name"
    )
    model: str | None = Field(None, description="name under which they serve the model; else what they serve first")
    api_key: SecretStr | None = Field(None, description="bearer token sent to them")
    call_tokens: int = Field(8192, ge=1, description="prompt tokens in one call to them; longer rounds are split")
    priority: int = Field(0, description="priority of calls to them, lower first; needs --scheduling-policy priority")


class CacheKind(StrEnum):
    """Where answers are kept."""

    OFF = "off"
    MEMORY = "memory"
    REDIS = "redis"


class CacheSettings(Section):
    """Answers kept for the next time the very same question is asked."""

    kind: CacheKind = Field(CacheKind.MEMORY, description="off, memory of this process, or redis for all gateways")
    url: SecretStr | None = Field(
        None,
        description="redis://, rediss:// or unix://; redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB; "
        "redis+cluster://HOST:PORT",
    )
    namespace: str = Field("onepass", pattern=r"^[\w.-]+$", description="what every key begins with")
    fresh_s: float = Field(3600, gt=0, description="seconds an answer is given again; up to a tenth less, by chance")
    stale_s: float = Field(0, ge=0, description="seconds after that in which it is still given while made anew")
    limit_ms: float = Field(10, gt=0, description="longest wait of a request for one use of redis")
    hot_s: float = Field(
        5, ge=0, description="seconds in which the very same bytes are answered without a look at them; 0 turns it off"
    )
    memory_bytes: int = Field(64 * 2**20, ge=0, description="size of the memory kind, of compressed answers")


class RankingSettings(Section):
    """How requests are ranked that do not say."""

    profile: str = Field("onepass-embedded", description="profile used when a request names none")
    profiles: tuple[str, ...] = Field((), description="further profiles to serve beside the default")
    strategy: str | None = Field(
        None, description="strategy used when a request names none, or `auto`; else the profile's own"
    )
    aliases: dict[str, str] = Field(
        {}, description="other names for profiles served, a JSON object, as clients send in `model`"
    )
    any_model: bool = Field(True, description="any other name in `model` means the default profile; false: 404")
    profiles_directory: Path | None = Field(None, description="folder with profile files of your own")
    models_directory: Path | None = Field(None, description="folder with models of your own, before the shipped ones")


class AdmissionSettings(Section):
    """How much is ranked at once, and what happens when more is asked for; see docs/overload.md."""

    enabled: bool = Field(True, description="false ranks everything at once")
    capacity_tokens: int | None = Field(
        None, ge=1, description="prompt tokens under way at once; 4096 for encoders, 262144 for each vLLM URL"
    )
    overflow: Overflow = Field(
        Overflow.FIRST_STAGE, description="what a search gets that is not admitted: first_stage, or refuse for 429"
    )
    ladder: bool = Field(True, description="make plans cheaper that do not fit the time left")
    requests: int = Field(512, ge=1, description="requests under way at once; more get 429 before their body is parsed")


MOST_DOCUMENTS = 10_000
"""Of one request, whatever the settings: bodies with more are not looked through."""


class LimitSettings(Section):
    """Sizes above which a request is refused."""

    head_bytes: int = Field(65_536, ge=1024, description="bytes of a request's first line and headers")
    body_bytes: int = Field(8 * 2**20, ge=1024, description="bytes of a request body")
    receive_s: float = Field(30, gt=0, description="seconds for a request to arrive, and for a connection's first byte")
    query_chars: int = Field(32_768, ge=1, description="characters of a query")
    documents: int = Field(1000, ge=1, le=MOST_DOCUMENTS, description="documents of a rerank request")
    document_chars: int = Field(200_000, ge=1, description="characters of one document's title and text")
    candidates: int = Field(1000, ge=1, description="candidates, and results, of a search request")
    prompts: int = Field(2000, ge=1, description="prompts of one ranking")
    timeout_ms: float = Field(5000, gt=0, description="time given to a request that names none")
    max_timeout_ms: float = Field(60_000, gt=0, description="most time a request may ask for")


class LogSettings(Section):
    """What is written to standard error."""

    level: str = Field("info", pattern="^(debug|info|warning|error)$", description="least severe level written")
    json_lines: bool = Field(False, description="one JSON object a line, for machines")
    requests: bool = Field(False, description="a line for each request; else only for those that went wrong")
    queries: bool = Field(False, description="a line with the text of each query, which is written nowhere else")


class TraceSettings(Section):
    """Where the spans of requests are sent; needs the extra `otel`."""

    endpoint: str | None = Field(
        None,
        pattern=r"^https?://",
        description="OTLP collector over HTTP, such as http://127.0.0.1:4318; else no traces",
    )
    sample: float = Field(
        0.1, ge=0, le=1, description="share of requests traced, where the caller's `traceparent` does not decide"
    )
    service: str = Field("onepass", min_length=1, description="name of this service in traces")


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix="ONEPASS_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    server: ServerSettings = ServerSettings()
    indexes: IndexSettings = IndexSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    engine: EngineSettings = EngineSettings()
    cache: CacheSettings = CacheSettings()
    ranking: RankingSettings = RankingSettings()
    admission: AdmissionSettings = AdmissionSettings()
    limits: LimitSettings = LimitSettings()
    logs: LogSettings = LogSettings()
    traces: TraceSettings = TraceSettings()


def load() -> Settings:
    """The settings of this process.

    Raises:
        ConfigurationError: a value that does not fit, or a variable of ours that names no setting.
    """
    unknown = [name for name in os.environ if name.startswith("ONEPASS_") and not _names_a_setting(name)]
    if unknown:
        raise ConfigurationError(f"no such setting: {', '.join(sorted(unknown))}")
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(f"{variable(*map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(problems) from error


def variable(*path: str) -> str:
    """The environment variable of a setting: ``variable("engine", "threads")`` is ``ONEPASS_ENGINE__THREADS``."""
    return "ONEPASS_" + "__".join(path).upper()


def _names_a_setting(name: str) -> bool:
    return name.removeprefix("ONEPASS_").lower().split("__")[0] in Settings.model_fields
