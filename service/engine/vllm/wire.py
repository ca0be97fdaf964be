"""HTTP calls to vLLM servers: one pool of kept-alive connections, and every failure as an ``EngineError``."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

import aiohttp
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
    aiohttp.ClientConnectionError: ReplicaLost,  # connecting, reading, writing, timing out
    aiohttp.ClientPayloadError: ReplicaLost,  # half a body
    aiohttp.ClientResponseError: ReplicaLost,  # something that is not HTTP
    aiohttp.InvalidURL: EngineUnavailable,
    aiohttp.ClientError: EngineProtocolError,
}
"""What each of the HTTP library's errors means; subclasses go with their nearest ancestor."""


@dataclass(frozen=True, slots=True)
class Connections:
    """How connections are kept. There are as many as there are calls under way, which others bound.

    Attributes:
        idle_s: seconds an unused connection is kept. Below vLLM's own 5 s, so that it never closes one in our hands.
        connect_s: seconds to open a connection.
    """

    idle_s: float = 4.0
    connect_s: float = 1.0


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a server at ``url`` answered with, whatever it means."""

    url: str
    status: int
    body: bytes


class Wire:
    """JSON over HTTP to any number of servers. Reading is bounded by the caller's own deadline, which closes the call.

    ``api_key`` is sent as a bearer token. Safe to use concurrently within the event loop in which it is first used.
    """

    def __init__(self, *, api_key: str | None = None, connections: Connections | None = None) -> None:
        self._api_key = api_key
        self._connections = connections or Connections()
        self._closed = False

    async def get(self, url: str, path: str) -> Any:
        """The JSON value that ``GET url/path`` answers with.

        Raises:
            EngineError: see the module ``service.errors``.
        """
        return self._json(await self._send("GET", url + path))

    async def post(self, url: str, path: str, body: Mapping[str, object]) -> Any:
        """The JSON value that ``POST url/path`` answers with.

        Raises:
            EngineError: see the module ``service.errors``.
        """
        return self._json(await self._send("POST", url + path, to_json(body)))

    async def healthy(self, url: str) -> None:
        """Return if the server says that its engine is alive.

        Raises:
            EngineUnavailable: it does not.
        """
        reply = await self._send("GET", url + "/health")
        if reply.status != HTTPStatus.OK:
            raise EngineUnavailable(f"{url}/health answered {reply.status}")

    async def routes(self, url: str, path: str) -> bool:
        """Whether the server has a route at ``path``, whatever its method; nothing is run.

        Raises:
            EngineUnavailable: it did not answer.
        """
        reply = await self._send("GET", url + path)
        return reply.status != HTTPStatus.NOT_FOUND

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        if "_session" in self.__dict__:
            await self._session.close()

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        """The connections; made when an event loop runs, to which they belong."""
        authorization = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=self._connections.idle_s,
                ssl=ssl.create_default_context(),  # the system's certificates, where a cluster puts its own
                use_dns_cache=False,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connections.connect_s),
            headers=authorization,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def _send(self, method: str, url: str, content: bytes | None = None) -> _Reply:
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        headers = {**outgoing(), **({"Content-Type": "application/json"} if content else {})}
        call = self._session.request(method, url, data=content, headers=headers, allow_redirects=False)
        try:
            async with call as response:
                return _Reply(url, response.status, await response.read())
        except tuple(VENDOR_ERRORS) as error:
            raise translated(error, url) from error

    def _json(self, reply: _Reply) -> Any:
        """The body of a good answer; the error that a bad one stands for is raised."""
        if reply.status != HTTPStatus.OK:
            raise self._refusal(reply)
        try:
            return json.loads(reply.body)
        except ValueError as error:
            raise EngineProtocolError(f"{reply.url} answered with something that is not JSON") from error

    def _refusal(self, reply: _Reply) -> EngineError:
        """What a status other than 200 means. Its text is shown to people and never read as a result."""
        message = f"{reply.url} answered {reply.status}: {self._message(reply.body)}"
        if reply.status in _REJECTIONS:
            return EngineRejected(message)
        if reply.status in _LOST:
            return ReplicaLost(message)
        if reply.status in _OVERLOADED or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return EngineUnavailable(message)
        return EngineProtocolError(message)

    def _message(self, body: bytes) -> str:
        """The message of an error body in the OpenAI shape, else the beginning of the body; without the token sent.

        A proxy that refuses a token may repeat it.
        """
        try:
            message = str(json.loads(body)["error"]["message"])
        except (ValueError, KeyError, TypeError, IndexError):
            message = body.decode("utf-8", "replace")
        return (message.replace(self._api_key, "***") if self._api_key else message)[:_SHOWN]


def translated(error: Exception, url: str) -> EngineError:
    """An error of the HTTP library as one of ours."""
    kind = next(VENDOR_ERRORS[ancestor] for ancestor in type(error).__mro__ if ancestor in VENDOR_ERRORS)
    return kind(f"{url}: {type(error).__name__}: {error}"[:_SHOWN])
