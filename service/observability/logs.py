"""Structured log lines on standard error; events worth a person's eye become lines here.

A line written for a request has its ``request_id``, and its ``trace_id`` where requests are traced. What a caller
wrote is in none, but for a line with the query where the settings ask for it.
"""

from __future__ import annotations

import logging
import sys
from http import HTTPStatus
from typing import Any

import structlog

from service.domain import DegradedReason
from service.observability.events import (
    Degraded,
    Event,
    IndexOpened,
    IndexRefused,
    IndexWithdrawn,
    KeysLoaded,
    KeysRefused,
    QueryAsked,
    ReplicaDown,
    ReplicaUp,
    RequestFinished,
)
from service.observability.spans import trace_id


def configure(level: str, *, json_lines: bool) -> None:
    """Write lines of ``level`` and above: JSON for machines, plain columns for people."""
    structlog.configure(
        processors=[*_facts(), _renderer(json_lines=json_lines)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def library_logs(level: str, *, json_lines: bool) -> dict[str, Any]:
    """The configuration, for ``logging.config``, under which the web server and other libraries write such lines too.

    The web server's are of ``level`` and above, the others' warnings.
    """
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": _facts(),
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(json_lines=json_lines)],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {"uvicorn": {"level": level.upper()}},
    }


def _facts() -> list[structlog.typing.Processor]:
    """What is added to every line."""
    return [
        structlog.contextvars.merge_contextvars,
        _add_trace_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def _add_trace_id(_logger: Any, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    trace = trace_id()
    return line if trace is None else {**line, "trace_id": trace}


def _renderer(*, json_lines: bool) -> structlog.typing.Processor:
    return (
        structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )


class LogObserver:
    """Writes a line for what an operator wants to read: refusals, degraded answers, indexes opened.

    With ``requests`` also one for each request, with ``queries`` one with the text of each query. To be made after
    ``configure``.
    """

    def __init__(self, *, requests: bool = False, queries: bool = False) -> None:
        self._log = structlog.get_logger("onepass").bind()  # once: else the logger is put together for every line
        self._requests = requests
        self._queries = queries

    def observe(self, event: Event) -> None:  # noqa: C901  one case for each kind of event
        """Write a line if ``event`` deserves one."""
        match event:
            case RequestFinished():
                self._request_finished(event)
            case QueryAsked() if self._queries:
                self._log.info("query", query=event.query)
            case Degraded() if event.reason is not DegradedReason.OVERLOADED:  # counted; lines would add to the load
                self._log.warning("degraded", reason=event.reason.value, detail=event.detail)
            case ReplicaUp():
                self._log.info("model server up", upstream=event.url)
            case ReplicaDown():
                self._log.warning("model server down", upstream=event.url, reason=event.reason)
            case IndexOpened():
                self._log.info("index opened", index=event.name, version=event.version, documents=event.documents)
            case IndexRefused():
                self._log.error("index refused", index=event.name, error=event.error, detail=event.detail)
            case IndexWithdrawn():
                self._log.warning("index withdrawn", index=event.name)
            case KeysLoaded():
                self._log.info("API keys read again", keys=event.keys)
            case KeysRefused():
                self._log.error("API keys stay as they were", reason=event.reason)
            case _:
                pass

    def _request_finished(self, event: RequestFinished) -> None:
        facts = {"route": event.route, "status": event.status, "request_id": event.request_id}
        if event.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._log.error("request failed", **facts)
        elif self._requests:
            self._log.info("request", **facts, ms=round(event.seconds * 1000, 3))
