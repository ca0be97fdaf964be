"""Plain ASGI middleware that makes a span of each request that asks for work, and of what it is answered."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.middleware import route_of
from service.observability.spans import RequestSpan, Tracer, within


class Tracing:
    """Begins the spans of POST requests with ``tracer``. Probes and metrics, which are asked for all day, have none."""

    def __init__(self, app: ASGIApp, *, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        span = self._tracer.request(Headers(scope=scope))
        with within(span):
            if span.recording:
                await self._recorded(span, scope, receive, send)
            else:
                await self._app(scope, receive, send)

    async def _recorded(self, span: RequestSpan, scope: Scope, receive: Receive, send: Send) -> None:
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            span.answered(scope["method"], route_of(scope), status)
            span.end()
