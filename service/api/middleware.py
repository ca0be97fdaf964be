"""Plain ASGI middleware: a request id on every answer, a limit on every body, an event for every request."""

from __future__ import annotations

import os
import re
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.dialect_names import dialect_of
from service.api.error_shapes import ErrorResponse
from service.api.errors import error_response, gone
from service.observability.events import Observer, RequestFailed, RequestFinished

REQUEST_ID = "x-request-id"
_ACCEPTABLE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class RequestContext:
    """Gives each request an id (the caller's, if it is a plain one), and tells the observer how it ended."""

    def __init__(self, app: ASGIApp, *, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own_id = request_id(Headers(scope=scope).get(REQUEST_ID))
        scope.setdefault("state", {})["request_id"] = own_id
        started, status, told = time.monotonic(), 500, False

        def tell() -> None:
            nonlocal told
            if not told:
                told = True
                seconds = time.monotonic() - started
                self._observer.observe(
                    RequestFinished(route_of(scope), _method(scope["method"]), status, seconds, own_id)
                )
                if (reason := scope["state"].get("error")) is not None:
                    self._observer.observe(RequestFailed(dialect_of(scope["path"]), reason))

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                MutableHeaders(scope=message)[REQUEST_ID] = own_id
            elif not message.get("more_body", False):
                tell()  # before the client can ask for metrics in which it would be missing
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=own_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:
                scope["state"]["error"] = "internal_server_error"
                raise
            finally:
                tell()


class BodyLimit:
    """Refuses bodies above ``limit`` bytes, by their announced length where there is one, else while they arrive."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _announced_length(scope) > self._limit:
            await self._too_large()(scope, receive, send)
            return
        body = await self._read(receive)
        if isinstance(body, ErrorResponse):
            await body(scope, receive, send)
            return
        whole: Message = {"type": "http.request", "body": body, "more_body": False}
        await self._app(scope, replay(whole, receive), send)

    async def _read(self, receive: Receive) -> bytes | ErrorResponse:
        """The body, or what to answer where it did not come to its end within the limit."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return gone()
            body += message.get("body", b"")
            if len(body) > self._limit:
                return self._too_large()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> ErrorResponse:
        return error_response(413, "input_too_large", f"the body is larger than {self._limit} bytes", "body")


def replay(message: Message, receive: Receive) -> Receive:
    """A ``receive`` that gives the message already taken, then whatever comes next, such as a disconnect."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return message

    return replayed


def route_of(scope: Scope) -> str:
    """The template of the path that was called; whatever else a client calls is one and the same."""
    template: str = getattr(scope.get("route"), "path", "(none)")
    return template


def request_id(offered: str | None) -> str:
    """The caller's id if it offered a plain one, else a new one."""
    return offered if offered and _ACCEPTABLE_ID.fullmatch(offered) else os.urandom(16).hex()


def _announced_length(scope: Scope) -> int:
    announced = Headers(scope=scope).get("content-length", "")
    return int(announced) if announced.isascii() and announced.isdigit() else 0


def _method(method: str) -> str:
    """A method as a label: whatever a client invents must not become a new time series."""
    return method if method in {"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"} else "OTHER"
