"""The servers that load is offered to, each asked in its own dialect with the same payload."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from loadtest.cpu_time import cpu_seconds
from loadtest.http_client import Connections, Response
from loadtest.open_loop import Reply
from loadtest.questions import Question

FULL, CACHED = "full", "cached"
SMALLER = ("fewer_candidates", "single_window")
CUT_SHORT = "cut short"
REFUSED = ("first_stage", "429")
"""Kinds of replies: ranked as asked; given from the cache; by a smaller plan; up to the deadline; not at all."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where a question is sent, and its body for a model of that name."""

    path: str
    body: Callable[[Question, str], dict[str, Any]]
    brings_documents: bool = True


def _documents(question: Question, model: str) -> dict[str, Any]:
    return {"model": model, "query": question.query, "documents": question.documents}


DIALECTS: Mapping[str, Dialect] = {
    "search": Dialect("/v1/search", lambda question, _: {"query": question.query}, brings_documents=False),
    "rerank": Dialect("/v1/rerank", lambda asked, _: {"query": asked.query, "documents": asked.documents}),
    "cohere": Dialect("/v1/rerank", _documents),  # Jina's as well
    "tei": Dialect("/rerank", lambda asked, _: {"query": asked.query, "texts": asked.documents, "truncate": True}),
    "vllm": Dialect("/rerank", _documents),
    "infinity": Dialect("/rerank", _documents),
}


class Target:
    """A server that is asked in one dialect; ``more`` goes into every body, and ``pid`` is its process if known."""

    def __init__(
        self, name: str, dialect: str, url: str, more: Mapping[str, Any], model: str = "", pid: int | None = None
    ) -> None:
        self.name = name
        self.dialect = DIALECTS[dialect]
        self._model = model
        self._more = more
        self._pid = pid
        self._connections = Connections(url)

    async def ask(self, question: Question) -> Reply:
        """What becomes of a question. Raises as ``Connections.post``."""
        body = {**self.dialect.body(question, self._model), **self._more}
        response = await self._connections.post(self.dialect.path, json.dumps(body).encode())
        return Reply(_kind(response), stages(response.headers.get("server-timing", "")))

    def cpu_seconds(self) -> float:
        """CPU time that the server has taken so far; 0 where its process is not known."""
        return 0.0 if self._pid is None else cpu_seconds(self._pid)

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()


def stages(server_timing: str) -> dict[str, float]:
    """Milliseconds of each stage of a ``Server-Timing`` header: ``"embed;dur=1.5, rank;dur=20"``."""
    found = {}
    for entry in filter(None, server_timing.split(",")):
        name, _, duration = entry.strip().partition(";dur=")
        found[name] = float(duration)
    return found


def require_loopback(url: str) -> None:
    """Raises ``SystemExit`` unless the server is on this machine: load is not offered to others by mistake."""
    host = urlsplit(url).hostname or ""
    if host != "localhost" and not (host.replace(".", "").isdigit() and ip_address(host).is_loopback):
        raise SystemExit(f"{url} is not on this machine; --remote offers it load all the same")


def _kind(response: Response) -> str:
    if response.status != 200:
        return str(response.status)
    if "x-onepass-degraded" in response.headers:
        answer = json.loads(response.body)
        ranking = answer.get("rerank", {}) if isinstance(answer, dict) else {}
        return str(ranking.get("degraded_step") or CUT_SHORT)
    return CACHED if b'"cache":"hit"' in response.body else FULL
