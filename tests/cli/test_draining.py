"""The end of a real process: not ready, then deaf, then what is under way, then exit code 0."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

PROGRAM = [sys.executable, "-c", "from service.cli import main; main()"]
DOCUMENTS = [f"{number}. " + "honey and wax " * 60 for number in range(1000)]
LONG = {"query": "bees", "documents": DOCUMENTS, "timeout_ms": 60_000}
"""Seconds of work for the embedded engine."""
SHORT = LONG | {"documents": ["honey", "wax"]}


@contextmanager
def serving(indexes: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service with the embedded engine in a process of its own, and its address."""
    environment = (
        os.environ | settings | {"ONEPASS_ENGINE__KIND": "encoders", "ONEPASS_INDEXES__DIRECTORY": str(indexes)}
    )
    command = [*PROGRAM, "serve", "--port", "0"]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stderr is not None
            yield process, next(found[0] for line in process.stderr if (found := re.search(r"http://[\d.:]+", line)))
        finally:
            process.kill()


def begun(address: str, body: dict[str, object]) -> socket.socket:
    """A connection on which a request has been sent, and is under way at the service."""
    before = in_flight(address)
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    content = json.dumps(body).encode()
    head = f"POST /v1/rerank HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    while in_flight(address) == before:
        pass
    return connection


def in_flight(address: str) -> str:
    (value,) = re.findall(
        r"^onepass_admission_in_flight_tokens (\S+)", httpx.get(f"{address}/metrics").text, re.MULTILINE
    )
    return str(value)


def answer(connection: socket.socket) -> bytes:
    """Everything that comes until the service closes the connection."""
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_what_is_under_way_is_finished(indexes: Path) -> None:
    with serving(indexes, ONEPASS_SERVER__SHUTDOWN_GRACE_S="60") as (process, address):
        connection = begun(address, LONG | {"documents": DOCUMENTS[:100]})
        process.send_signal(signal.SIGTERM)
        assert answer(connection).startswith(b"HTTP/1.1 200")
        assert process.wait(timeout=30) == 0


def test_what_takes_too_long_is_told_that_the_service_ends(indexes: Path) -> None:
    with serving(indexes, ONEPASS_SERVER__SHUTDOWN_GRACE_S="0.2") as (process, address):
        connection = begun(address, LONG)
        process.send_signal(signal.SIGTERM)
        text = answer(connection)
        assert text.startswith(b"HTTP/1.1 503")
        assert b"shutting_down" in text
        assert process.wait(timeout=30) == 0


def test_it_is_not_ready_before_it_is_deaf(indexes: Path) -> None:
    with serving(indexes, ONEPASS_SERVER__DRAIN_DELAY_S="2") as (process, address):
        assert httpx.get(f"{address}/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        while (readiness := httpx.get(f"{address}/readyz")).status_code == 200:
            pass
        assert readiness.status_code == 503
        assert readiness.json()["ready"] is False
        assert httpx.post(f"{address}/v1/rerank", json=SHORT).status_code == 200
        assert process.wait(timeout=30) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/readyz")


def test_an_interrupt_ends_it_as_well(indexes: Path) -> None:
    with serving(indexes) as (process, _address):
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
