"""Requests as bytes, for what no HTTP client would send."""

from __future__ import annotations

import re
import select
import socket
from contextlib import suppress
from typing import Any

import httpx

JSON = b"Content-Type: application/json\r\n"


def head(path: str = "/v1/rerank", *headers: bytes, method: str = "POST") -> bytes:
    """A request's line and headers, to which a body may be added."""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode() + b"".join(headers) + b"\r\n"


def post(path: str, body: bytes) -> bytes:
    """A whole request after which the connection is to be closed."""
    return head(path, JSON, b"Content-Length: %d\r\n" % len(body), b"Connection: close\r\n") + body


def connected(client: httpx.Client) -> socket.socket:
    """A connection to the service that ``client`` asks."""
    return socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60)


def everything(connection: socket.socket) -> bytes:
    """What comes until the service ends the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            received += piece
    return received


def readable(connection: socket.socket, *, within: float) -> bool:
    """Whether there is something to read, or will be in so many seconds."""
    return bool(select.select([connection], [], [], within)[0])


def exchange(client: httpx.Client, data: bytes) -> bytes:
    """What the service answers to ``data`` until it closes the connection."""
    with connected(client) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        return everything(connection)


def interrupted(client: httpx.Client, data: bytes) -> bytes:
    """What the service answers to ``data`` at once; the client has nothing more to say, and says so."""
    with connected(client) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        return everything(connection)


def statuses(answer: bytes) -> list[int]:
    """The statuses of the answers in what a connection gave."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def body_of(answer: bytes) -> Any:
    """The JSON of the only answer that a connection gave."""
    lines, _, body = answer.partition(b"\r\n\r\n")
    return httpx.Response(200, content=body).json() if lines else None
