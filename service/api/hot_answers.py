"""The shortest way: bytes asked a moment ago, whose answer is in the cache, are answered before anything is parsed.

An answer of ours begins with its id and ends with what belongs to one request alone, its timings and what the cache
did; the bytes between are the same every time. They are kept for a few seconds, under the very bytes of the request
and its tenant, for as long as no index has changed. All that goes on here for a hit is a look into a dictionary; the
rest of the service would take ten times as long to come to the same answer (``loadtest/cache_hits.py``).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.headers import server_timing
from service.api.middleware import REQUEST_ID, replay, request_id
from service.domain import CacheState, Timings
from service.observability.events import CacheAsked, Observer, RequestFinished
from service.observability.spans import annotate

PATHS = frozenset({"/v1/search", "/v1/rerank"})
_LARGEST_BODY = 1 << 16
"""Bytes of a request worth keeping: a long list of documents is not asked for twice in a moment."""
_KEPT_BYTES = 1 << 25
_ID, _TIMINGS = b'{"id":"', b',"timings_ms":'
_LONG_WAY = {b"cache-control", b"authorization", b"x-api-key", b"content-encoding", b"origin"}
"""Requests with one of these headers go the long way, where somebody looks at it."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the headers say that matters here: the request's id, and what other answers depend on."""

    id: str
    tenant: tuple[bytes, ...]
    content_type: bytes


@dataclass(frozen=True, slots=True)
class _Entry:
    lasting: bytes
    until: float
    stamp: Hashable
    route: object


class HotAnswers:
    """Wraps the service. ``stamp`` is compared, not understood: whenever it changes, nothing kept is given any more."""

    def __init__(
        self, app: ASGIApp, *, keep_s: float, stamp: Callable[[], Hashable], tenant: str | None, observer: Observer
    ) -> None:
        self._app = app
        self._keep_s = keep_s
        self._stamp = stamp
        self._tenant = (tenant or "").lower().encode()
        self._observer = observer
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from what is kept, or let the service answer and keep that if it may be kept."""
        asked = self._asked(scope)
        if asked is None:
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        message = await _small_body(receive)
        if message["type"] != "http.request" or message["more_body"] or len(message["body"]) > _LARGEST_BODY:
            await self._app(scope, replay(message, receive), send)
            return
        key = (scope["path"], asked.tenant, asked.content_type, message["body"])
        entry = self._entries.get(key)
        if entry is not None and started < entry.until and entry.stamp == self._stamp():
            scope["route"] = entry.route
            await self._give(entry, asked.id, started, send)
            seconds = time.monotonic() - started
            self._observer.observe(RequestFinished(scope["path"], "POST", 200, seconds, asked.id))
            self._observer.observe(CacheAsked(CacheState.HIT))
            annotate(cache=CacheState.HIT.value)
            return
        scope.setdefault("state", {})["lasting"] = False
        await self._app(scope, replay(message, receive), self._keeping(key, scope, send))

    def _asked(self, scope: Scope) -> _Asked | None:
        """What matters of the headers; ``None`` for a request that goes the long way."""
        if scope["type"] != "http" or scope["path"] not in PATHS or scope["method"] != "POST":
            return None
        found, tenant, content_type = None, tuple[bytes, ...](), b""
        for name, value in scope["headers"]:
            if name in _LONG_WAY:
                return None
            if name == b"x-request-id":
                found = value.decode("latin-1")
            elif name == b"content-type":
                content_type = value
            elif name == self._tenant:
                tenant = (*tenant, value)
        return _Asked(request_id(found), tenant, content_type)

    async def _give(self, entry: _Entry, request: str, started: float, send: Send) -> None:
        total = (time.monotonic() - started) * 1000
        own = f'{{"embed":0.0,"retrieve":0.0,"rank":0.0,"total":{total:.3f}}},"cache":"hit"}}'
        body = b"".join((_ID, request.encode(), entry.lasting, _TIMINGS, own.encode()))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (REQUEST_ID.encode(), request.encode()),
            (b"server-timing", server_timing(Timings(0.0, 0.0, 0.0, total)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _keeping(self, key: Hashable, scope: Scope, send: Send) -> Send:
        """A ``send`` that keeps the answer as it passes by, if its request said that it may be kept."""
        stamp = self._stamp()

        async def sending(message: Message) -> None:
            await send(message)
            whole = message["type"] == "http.response.body" and not message.get("more_body")
            if whole and scope["state"]["lasting"] and stamp == self._stamp():
                self._keep(key, message["body"], stamp, scope.get("route"))

        return sending

    def _keep(self, key: Hashable, body: bytes, stamp: Hashable, route: object) -> None:
        self._forget(key)
        own_id, _, rest = body.removeprefix(_ID).partition(b'"')
        lasting, found, _ = rest.rpartition(_TIMINGS)
        if not body.startswith(_ID) or not own_id or not found:
            return
        self._entries[key] = _Entry(b'"' + lasting, time.monotonic() + self._keep_s, stamp, route)
        self._bytes += len(self._entries[key].lasting)
        while self._bytes > _KEPT_BYTES:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.lasting)


async def _small_body(receive: Receive) -> Message:
    """The body as one message, or the beginning of one that is too large, or whatever came in its place."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body") and len(body) <= _LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
    if message["type"] != "http.request":
        return message
    return {"type": "http.request", "body": body, "more_body": message.get("more_body", False)}
