"""Spans: on what a request spends its time, as a tree that a tracing system shows.

The span under way is kept in the context, so that whoever works for a request adds to its tree without being handed
anything. Where nothing is traced there is none, and a ``span`` costs a look into the context.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import cached_property
from types import TracebackType
from typing import Protocol, Self

Value = bool | int | float | str
"""An attribute: a count, a time, or a name of ours; never what a caller or a model wrote."""


class Span(Protocol):
    """A piece of work that has begun, in the trace of a request."""

    @property
    def recording(self) -> bool:
        """Whether anybody will see it; a request that is not sampled has one that nobody sees."""

    @property
    def trace_id(self) -> str:
        """The trace, as 32 hexadecimal digits."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What tells another server, by W3C Trace Context, that it works for this span."""

    def child(self, name: str, attributes: Mapping[str, Value], *, calls: bool) -> Span:
        """Begin a part of it; ``calls`` says that another server does that part."""

    def annotate(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes."""

    def end(self, error: BaseException | None = None) -> None:
        """End it; of an error only the class is told."""


class RequestSpan(Span, Protocol):
    """The root of a request's spans in this process."""

    def answered(self, method: str, route: str, status: int) -> None:
        """Name it by the path's template, and tell how it was answered."""


class Tracer(Protocol):
    """Begins traces, and sends spans that have ended to where they are kept."""

    def request(self, headers: Mapping[str, str]) -> RequestSpan:
        """Begin a request, as a part of the trace that its ``traceparent`` names, if it does."""

    def close(self) -> None:
        """Send what is left; may block for a few seconds."""


class Unsampled:
    """Implements ``RequestSpan`` for a request that is not traced: the next server is told not to trace it either."""

    recording = False

    @cached_property
    def trace_id(self) -> str:
        """Made when it is asked for: most requests never do."""
        return os.urandom(16).hex()

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """A ``traceparent`` whose flags say that nothing is recorded."""
        return {"traceparent": f"00-{self.trace_id}-{os.urandom(8).hex()}-00"}

    def child(self, name: str, attributes: Mapping[str, Value], *, calls: bool) -> Unsampled:  # noqa: ARG002
        """The same: nothing is recorded."""
        return self

    def annotate(self, attributes: Mapping[str, Value]) -> None:
        """Record nothing."""

    def answered(self, method: str, route: str, status: int) -> None:
        """Record nothing."""

    def end(self, error: BaseException | None = None) -> None:
        """Record nothing."""


_current: ContextVar[Span | None] = ContextVar("span", default=None)


@contextmanager
def within(span: Span) -> Iterator[None]:
    """Make ``span`` the one under way while the block runs; the caller ends it."""
    token = _current.set(span)
    try:
        yield
    finally:
        _current.reset(token)


def span(name: str, *, calls: bool = False, **attributes: Value) -> _Part:
    """A context in which a part of the span under way runs; see ``Span.child``."""
    return _Part(name, attributes, calls=calls)


def annotate(**attributes: Value) -> None:
    """Add to the span under way, if there is one."""
    current = _current.get()
    if current is not None and current.recording:
        current.annotate(attributes)


def trace_id() -> str | None:
    """The trace of the request being worked for, if there is one."""
    current = _current.get()
    return None if current is None else current.trace_id


def outgoing() -> Mapping[str, str]:
    """Headers for a call to another server: the span under way, if there is one."""
    current = _current.get()
    return {} if current is None else current.headers


class _Part:
    """Begins a child of the span under way and ends it, unless nobody would see it."""

    __slots__ = ("_attributes", "_calls", "_name", "_span", "_token")

    def __init__(self, name: str, attributes: Mapping[str, Value], *, calls: bool) -> None:
        self._name, self._attributes, self._calls = name, attributes, calls
        self._span: Span | None = None
        self._token: Token[Span | None] | None = None

    def __enter__(self) -> Self:
        parent = _current.get()
        if parent is not None and parent.recording:
            self._span = parent.child(self._name, self._attributes, calls=self._calls)
            self._token = _current.set(self._span)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if self._span is not None and self._token is not None:
            _current.reset(self._token)
            self._span.end(error)
