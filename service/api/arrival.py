"""Bounds on requests while they arrive: the size of what is not body, and the time that all of it may take.

An ASGI application sees a request once its head is whole, and waits for its body for ever; so both are bounded where
the socket is read, in uvicorn's protocol. The sizes of bodies are bounded in ``middleware.py``.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.error_shapes import ErrorResponse, Problem
from service.settings import LimitSettings

_LINGER_S = 2.0
"""What still comes is read for so long after a refusal: a connection closed on unread bytes loses the answer."""


class _Refused(Exception):
    """Stops the parser; the problem is in ``BoundedProtocol._problem``."""


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 to a head above ``limits.head_bytes``, and 408 to what is not there after ``limits.receive_s``.

    Made by ``bounded``. Trailers, which nobody here asks for and which no proxy has looked at, are dropped.
    """

    limits: LimitSettings
    _problem: Problem | None = None
    _arriving = False
    """Between the first byte of a request and its last."""
    _head_whole = False
    _unspoken = 0
    """Bytes since the parser last gave a piece of a body or came to the end of a request: lines that are not complete,
    headers, trailers, the framing of chunks."""
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Give the first request its time."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and look whether it is too much."""
        if self._problem is not None:
            return
        self._unspoken += len(data)
        super().data_received(data)
        if self._unspoken > self.limits.head_bytes:
            self._refuse(self._too_large())
        elif self._late is None and (self._arriving or self._unspoken):
            self._expect()

    def send_400_response(self, msg: str) -> None:
        """Tell why the parser stopped; uvicorn calls it."""
        self._refuse(self._problem or Problem(HTTPStatus.BAD_REQUEST, "invalid_http", msg))

    def on_message_begin(self) -> None:
        """Begin a request, whose time begins with it."""
        super().on_message_begin()
        self._arriving, self._head_whole = True, False
        self._expect_nothing()

    def on_headers_complete(self) -> None:
        """Serve the request whose head is now whole."""
        if self._unspoken > self.limits.head_bytes and self._head_size() > self.limits.head_bytes:
            self._problem = self._too_large()
            raise _Refused
        super().on_headers_complete()
        self._head_whole, self._unspoken = True, 0
        self.headers = []  # for trailers; those of the request are its scope's

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._unspoken = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._arriving, self._unspoken = False, 0
        self._expect_nothing()
        super().on_message_complete()

    def _expect(self) -> None:
        self._late = self.loop.call_later(self.limits.receive_s, self._time_is_over)

    def _expect_nothing(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _time_is_over(self) -> None:
        if self.flow.read_paused or (not self._head_whole and self._answering()):
            self._expect()  # it is us who take our time
        elif self._arriving or self._unspoken:
            message = f"the request was not whole after {self.limits.receive_s:g} s"
            self._refuse(Problem(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", message))
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer with ``problem`` and let the client read it; only close where another answer has begun."""
        self._problem, self._arriving, self._unspoken = problem, False, 0
        self._expect_nothing()
        if self._answered_otherwise():
            self.transport.close()
            return
        self.transport.write(_written(ErrorResponse(problem), self.scope["path"] if self._head_whole else ""))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self._head_whole:  # whoever waits for the rest of the body shall not
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.flow.resume_reading()
        self._late = self.loop.call_later(_LINGER_S, self.transport.close)

    def _answered_otherwise(self) -> bool:
        if self._head_whole:
            return self.cycle.response_started or bool(self.pipeline)
        return self._answering()

    def _answering(self) -> bool:
        # uvicorn types it otherwise, but there is none before the first request
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

    def _head_size(self) -> int:
        line = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n\r\n")
        return line + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def _too_large(self) -> Problem:
        message = f"the request line and headers are larger than {self.limits.head_bytes} bytes"
        return Problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", message)


def bounded(limits: LimitSettings) -> type[BoundedProtocol]:
    """A protocol for ``uvicorn.Config(http=...)`` that holds requests to ``limits``."""
    return type("LimitedProtocol", (BoundedProtocol,), {"limits": limits})


def _written(response: ErrorResponse, path: str) -> bytes:
    """A response as bytes, in the shape of ``path``, after which the connection is closed."""
    response.take_shape(path)
    headers = [*response.raw_headers, (b"connection", b"close")]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return STATUS_LINE[response.status_code] + lines + b"\r\n" + bytes(response.body)
