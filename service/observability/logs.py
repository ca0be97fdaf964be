"""Structured log lines on standard error; events worth a person's eye become lines here."""

from __future__ import annotations

import logging
import sys

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
    ReplicaDown,
    ReplicaUp,
    RequestFinished,
)


def configure(level: str, *, json_lines: bool) -> None:
    """Write lines of ``level`` and above: JSON for machines, plain columns for people."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


class LogObserver:
    """Writes a line for what an operator wants to read: refusals, degraded answers, indexes opened."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("onepass")

    def observe(self, event: Event) -> None:
        """Write a line if ``event`` deserves one. Queries and passages are never written."""
        match event:
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
            case RequestFinished() if event.status >= 500:  # noqa: PLR2004  the server's own errors begin there
                self._log.error("request failed", route=event.route, status=event.status)
            case _:
                pass
