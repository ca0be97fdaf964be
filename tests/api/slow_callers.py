"""Callers who connect and say nothing, or ask and do not read."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

IDLE, SLOW = 10_000, 1000
SPARE = 500
"""Files that the processes at both ends need for themselves."""


@contextmanager
def many_files() -> Iterator[int]:
    """How many connections a process may hold, with the limit on open files as high as the system lets us set it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield hard - SPARE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def connections(host: str, port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many open connections."""
    with ExitStack() as opened:
        yield [opened.enter_context(socket.create_connection((host, port), timeout=30)) for _ in range(count)]


def large_request() -> bytes:
    """A request whose answer fills every buffer on its way, for those who do not read it."""
    documents = ["word " * 30_000 for _ in range(2)]
    body = {"query": "q", "documents": documents, "return_documents": True, "rerank": {"enabled": False}}
    content = json.dumps(body).encode()
    head = "POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
