"""Requests under way: how many there may be, and what ends one before its answer is there.

Starlette lets a handler run on when its client has gone; here a request is cancelled, with all that it waits for, once
nobody is there to read the answer, or once the service has to end.
"""

from __future__ import annotations

import asyncio

import anyio
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import gone, response_to
from service.errors import OnepassError, Overloaded
from service.observability.events import AdmissionRefused, Observer, RefusalReason


class UnderWay:
    """The requests being answered; at most ``most`` that ask for work."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: set[_Call] = set()
        self.draining = False

    @property
    def full(self) -> bool:
        """Whether there are as many as there may be."""
        return len(self._calls) >= self._most

    def drain(self) -> None:
        """Be not ready any more: no further requests should be sent here."""
        self.draining = True

    def end(self, error: OnepassError) -> None:
        """Cancel all requests and answer them with ``error``."""
        for call in tuple(self._calls):
            call.end(response_to(error))

    def begin(self, call: _Call) -> None:
        """Count one more."""
        self._calls.add(call)

    def finish(self, call: _Call) -> None:
        """Count one less."""
        self._calls.discard(call)


class RequestLifetime:
    """Plain ASGI middleware that holds each request to what ``under_way`` allows."""

    def __init__(self, app: ASGIApp, *, under_way: UnderWay, observer: Observer) -> None:
        self._app = app
        self._under_way = under_way
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 429 without reading its body."""
        if scope["type"] != "http" or scope["method"] != "POST":  # health and metrics: never refused, soon answered
            await self._app(scope, receive, send)
        elif self._under_way.full:
            self._observer.observe(AdmissionRefused(RefusalReason.REQUESTS))
            await response_to(Overloaded("as many requests as may be are under way"))(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as work:
            call = _Call(receive, send, work)
            watching = asyncio.create_task(call.watch(), name="watching a client")
            self._under_way.begin(call)
            try:
                await self._app(scope, call.receive, call.send)
            finally:
                self._under_way.finish(call)
                watching.cancel()
        if call.instead is not None:
            await call.instead(scope, receive, send)


class _Call:
    """One request and its answer. ``instead`` is what to answer once it was ended early."""

    def __init__(self, receive: Receive, send: Send, work: anyio.CancelScope) -> None:
        self._receive = receive
        self._send = send
        self._work = work
        self._read = asyncio.Event()
        self._gone = asyncio.Event()
        self._answering = False
        self.instead: Response | None = None

    async def receive(self) -> Message:
        """The body as it arrives; after it, only that the client has gone."""
        if self._read.is_set():
            await self._gone.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if not message.get("more_body", False):
            self._read.set()
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        self._answering = True
        await self._send(message)

    async def watch(self) -> None:
        """End the work when the client goes."""
        await self._read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()
        if not self._answering:  # an answered request ends here, too
            self.end(gone())

    def end(self, instead: Response) -> None:
        """Cancel the work, unless its answer is already on the way."""
        if not self._answering and self.instead is None:
            self.instead = instead
            self._work.cancel()
