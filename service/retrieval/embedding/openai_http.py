"""An encoder behind an OpenAI-compatible ``POST /v1/embeddings``: TEI, vLLM, infinity, OpenAI and others."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import numpy as np
from pydantic import SecretStr

from service.deadline import Deadline
from service.domain import Document
from service.errors import ConfigurationError, DeadlineExceeded, EmbedderError
from service.observability.spans import outgoing
from service.retrieval.embedding.embedder import PassageVectors, QueryVectors, Vectors, passage_text

_WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """How the encoder is called; times in seconds.

    ``query_prefix`` and ``passage_prefix`` are for models that were trained with them, such as E5. ``concurrency``
    bounds the calls under way, whoever asked for them.
    """

    api_key: SecretStr | None = None
    query_prefix: str = ""
    passage_prefix: str = ""
    batch_size: int = 32
    concurrency: int = 4
    attempts: int = 4
    connect_timeout: float = 2.0
    read_timeout: float = 30.0
    pool_timeout: float = 5.0


class OpenAIEmbedder:
    """Implements ``Embedder`` over HTTP. It gives no sparse vectors.

    Texts go out in batches, a bounded number at a time. What may succeed later (429, 5xx, a broken connection) is tried
    again after a pause that doubles and honours ``Retry-After``, for as long as the deadline leaves room for it.
    """

    sparse = False

    def __init__(self, url: str, model: str, dimension: int, options: OpenAIOptions | None = None) -> None:
        """Nothing is sent yet.

        Args:
            url: the server's address, with or without its ``/v1``.
            model: the name the server knows the model by.
            dimension: length of the vectors it gives.
            options: how it is called.

        Raises:
            ConfigurationError: the address is not an HTTP one.
        """
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(f"the embedder's address must begin with http:// or https://, not {url!r}")
        self._model = model
        self._dimension = dimension
        self._options = options = options or OpenAIOptions()
        self._turns = asyncio.Semaphore(options.concurrency)
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/").removesuffix("/v1"),
            headers=_authorisation(options.api_key),
            timeout=httpx.Timeout(
                connect=options.connect_timeout,
                read=options.read_timeout,
                write=options.read_timeout,
                pool=options.pool_timeout,
            ),
            limits=httpx.Limits(max_connections=options.concurrency, max_keepalive_connections=options.concurrency),
        )

    @property
    def id(self) -> str:
        """Model, dimension and prefixes: whatever changes the vectors and is known on this side."""
        prefixes = f"|{self._options.query_prefix}|{self._options.passage_prefix}".rstrip("|")
        return f"openai:{self._model}:{self._dimension}{prefixes}"

    @property
    def dimension(self) -> int:
        """Length of each vector."""
        return self._dimension

    async def embed_query(self, text: str, deadline: Deadline) -> QueryVectors:
        """The vector of a query. Raises ``EmbedderError`` or ``DeadlineExceeded``."""
        (vector,) = await self._embed([self._options.query_prefix + text], deadline)
        return QueryVectors(vector)

    async def embed_passages(self, documents: Sequence[Document], deadline: Deadline) -> PassageVectors:
        """The vectors of passages, one piece each. Raises ``EmbedderError`` or ``DeadlineExceeded``."""
        texts = [self._options.passage_prefix + passage_text(document) for document in documents]
        return PassageVectors.whole(await self._embed(texts, deadline))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _embed(self, texts: list[str], deadline: Deadline) -> Vectors:
        size = self._options.batch_size
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        try:
            async with asyncio.timeout(None if math.isinf(deadline.at) else deadline.remaining):
                vectors = await _all_or_first_failure([self._embed_batch(batch, deadline) for batch in batches])
        except TimeoutError as error:
            raise DeadlineExceeded("the encoder did not answer in the time given") from error
        return np.concatenate([np.empty((0, self.dimension), np.float32), *vectors])

    async def _embed_batch(self, texts: list[str], deadline: Deadline) -> Vectors:
        async with self._turns:
            for attempt in range(1, self._options.attempts + 1):
                try:
                    return await self._try(texts)
                except _TryAgain as failure:
                    pause = max(_back_off(attempt), failure.pause)
                    if attempt == self._options.attempts or pause >= deadline.remaining:
                        raise
                await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _try(self, texts: list[str]) -> Vectors:
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        try:
            response = await self._client.post("/v1/embeddings", json=body, headers=dict(outgoing()))
        except httpx.TransportError as error:
            raise _TryAgain(f"the encoder cannot be reached: {type(error).__name__}", pause=0.0) from error
        except httpx.HTTPError as error:
            raise EmbedderError(f"the encoder cannot be called: {type(error).__name__}") from error
        if response.status_code in _WORTH_ANOTHER_TRY:
            raise _TryAgain(f"the encoder answered {response.status_code}", _retry_after(response.headers))
        if response.status_code != httpx.codes.OK:
            raise EmbedderError(f"the encoder answered {response.status_code}")
        return _unit_vectors(response, len(texts), self.dimension)


class _TryAgain(EmbedderError):
    """A failure that may pass; ``pause`` is how many seconds the server asked to be left alone."""

    def __init__(self, message: str, pause: float) -> None:
        super().__init__(message)
        self.pause = pause


def _authorisation(key: SecretStr | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}


async def _all_or_first_failure(batches: Sequence[Coroutine[Any, Any, Vectors]]) -> list[Vectors]:
    """Results in order. The first failure stops the other batches and is raised itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(batch) for batch in batches]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


def _back_off(attempt: int) -> float:
    """Seconds before the next attempt: doubling, with jitter so that clients do not return together."""
    return min(_LONGEST_PAUSE, math.ldexp(_FIRST_PAUSE, attempt - 1)) * random.uniform(0.5, 1.0)


def _retry_after(headers: httpx.Headers) -> float:
    """Seconds the server asked for, given as a number or as a date; 0 if it did not ask or cannot be understood."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def _unit_vectors(response: httpx.Response, count: int, dimension: int) -> Vectors:
    """The answer's vectors in the order of the texts, shape [count, dimension], scaled to unit length.

    Raises ``EmbedderError`` unless there is one finite, non-zero vector of the right length for each text.
    """
    try:
        items = response.json()["data"]
        by_index = {item["index"]: item["embedding"] for item in items}
        vectors = np.array([by_index[position] for position in range(len(items))], dtype=np.float64)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise EmbedderError(f"the encoder's answer is not a list of embeddings: {type(error).__name__}") from error
    if vectors.shape != (count, dimension):
        raise EmbedderError(f"the encoder gave vectors of shape {vectors.shape}, not {(count, dimension)}")
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise EmbedderError("the encoder gave a vector that is zero or not finite")
    return np.asarray(vectors / lengths, dtype=np.float32)
