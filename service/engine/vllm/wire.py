"""HTTP calls to vLLM servers: one pool of kept-alive connections, and every failure as an ``EngineError``."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
from pydantic_core import to_json  # five times as fast as json.dumps for a list of token ids

from service.engine.vllm.replica import ReplicaLost
from service.errors import EngineError, EngineProtocolError, EngineRejected, EngineUnavailable
from service.observability.spans import outgoing

_SHOWN = 300
"""Characters of a server's error message that are passed on."""

_REJECTIONS = {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
_LOST = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,  # vLLM's answer to the name of a model that it does not serve
}
_OVERLOADED = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}

VENDOR_ERRORS: Mapping[type[Exception], type[EngineError]] = {
    httpx.TransportError: ReplicaLost,  # connecting, reading, writing, timing out, half a body
    httpx.PoolTimeout: EngineUnavailable,  # too much of our own work
    httpx.DecodingError: EngineProtocolError,
    httpx.TooManyRedirects: EngineProtocolError,
    httpx.HTTPStatusError: EngineProtocolError,
    httpx.InvalidURL: EngineUnavailable,
    httpx.StreamError: EngineProtocolError,
    httpx.CookieConflict: EngineProtocolError,
}
"""What each of the HTTP library's errors means; subclasses go with their nearest ancestor."""


@dataclass(frozen=True, slots=True)
class Connections:
    """How the connection pool behaves.

    Attributes:
        most: connections open at once, over all servers; should not be below the calls in flight.
        idle: connections kept open while unused.
        idle_s: seconds an unused connection is kept. Below vLLM's own 5 s, so that it never closes one in our hands.
        connect_s: seconds to open a connection.
        write_s: seconds the server may leave our bytes unread.
        pool_s: seconds to wait for a free connection of the pool.
    """

    most: int = 272
    idle: int = 64
    idle_s: float = 4.0
    connect_s: float = 1.0
    write_s: float = 5.0
    pool_s: float = 1.0


class Wire:
    """JSON over HTTP to any number of servers. Reading is bounded by the caller's own deadline, which closes the call.

    ``api_key`` is sent as a bearer token. Safe to use concurrently within one event loop.
    """

    def __init__(self, *, api_key: str | None = None, connections: Connections | None = None) -> None:
        pool = connections or Connections()
        timeout = httpx.Timeout(connect=pool.connect_s, read=None, write=pool.write_s, pool=pool.pool_s)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._extensions = {"timeout": timeout.as_dict()}
        self._closed = False
        # A client on top of it would add cookies, redirects and proxies, of no use here, and half as much time again.
        self._transport = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(
                max_connections=pool.most, max_keepalive_connections=pool.idle, keepalive_expiry=pool.idle_s
            ),
            verify=ssl.create_default_context(),  # the system's certificates, where a cluster puts its own
            trust_env=False,
        )

    async def get(self, url: str, path: str) -> Any:
        """The JSON value that ``GET url/path`` answers with.

        Raises:
            EngineError: see the module ``service.errors``.
        """
        return _json(await self._send("GET", url + path))

    async def post(self, url: str, path: str, body: Mapping[str, object]) -> Any:
        """The JSON value that ``POST url/path`` answers with.

        Raises:
            EngineError: see the module ``service.errors``.
        """
        return _json(await self._send("POST", url + path, to_json(body)))

    async def healthy(self, url: str) -> None:
        """Return if the server says that its engine is alive.

        Raises:
            EngineUnavailable: it does not.
        """
        response = await self._send("GET", url + "/health")
        if response.status_code != HTTPStatus.OK:
            raise EngineUnavailable(f"{url}/health answered {response.status_code}")

    async def routes(self, url: str, path: str) -> bool:
        """Whether the server has a route at ``path``, whatever its method; nothing is run.

        Raises:
            EngineUnavailable: it did not answer.
        """
        response = await self._send("GET", url + path)
        return response.status_code != HTTPStatus.NOT_FOUND

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        await self._transport.aclose()

    async def _send(self, method: str, url: str, content: bytes | None = None) -> httpx.Response:
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        headers = {**self._headers, **outgoing(), **({"Content-Type": "application/json"} if content else {})}
        try:
            request = httpx.Request(method, url, content=content, headers=headers, extensions=self._extensions)
            return await self._answer(request)
        except tuple(VENDOR_ERRORS) as error:
            raise translated(error, url) from error

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        response.request = request
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response


def translated(error: Exception, url: str) -> EngineError:
    """An error of the HTTP library as one of ours."""
    kind = next(VENDOR_ERRORS[ancestor] for ancestor in type(error).__mro__ if ancestor in VENDOR_ERRORS)
    return kind(f"{url}: {type(error).__name__}: {error}"[:_SHOWN])


def _json(response: httpx.Response) -> Any:
    """The body of a good answer; the error that a bad one stands for is raised."""
    if response.status_code != HTTPStatus.OK:
        raise _refusal(response)
    try:
        return json.loads(response.content)
    except ValueError as error:
        raise EngineProtocolError(f"{response.url} answered with something that is not JSON") from error


def _refusal(response: httpx.Response) -> EngineError:
    """What a status other than 200 means. Its text is shown to people and never read as a result."""
    status = response.status_code
    message = f"{response.url} answered {status}: {_message(response)}"
    if status in _REJECTIONS:
        return EngineRejected(message)
    if status in _LOST:
        return ReplicaLost(message)
    if status in _OVERLOADED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return EngineUnavailable(message)
    return EngineProtocolError(message)


def _message(response: httpx.Response) -> str:
    """The message of an error body in the OpenAI shape, else the beginning of the body; without the token it was sent.

    A proxy that refuses a token may repeat it.
    """
    try:
        message = str(json.loads(response.content)["error"]["message"])
    except (ValueError, KeyError, TypeError, IndexError):
        message = response.text
    token = response.request.headers.get("Authorization", "").removeprefix("Bearer ")
    return (message.replace(token, "***") if token else message)[:_SHOWN]
