"""Bare HTTP/1.1 for load generators: as many connections as are needed at once, each kept while it is of use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

KEPT_S = 2.0
"""A connection is used again within so many seconds; servers close idle ones after five."""


@dataclass(frozen=True, slots=True)
class Response:
    """``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """Connections to one server; a new one is opened whenever all are in use."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.hostname is None:
            raise SystemExit(f"{url} is no URL of a server")
        self._host, self._port = parts.hostname, parts.port or 80
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: bytes) -> Response:
        """The answer to a JSON body. Raises ``OSError`` or ``asyncio.IncompleteReadError`` if there is none."""
        reader, writer = await self._connected()
        try:
            writer.write(
                f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            answer = await reader.readexactly(int(headers["content-length"]))
        except BaseException:  # what is left of the answer would be taken for the next one's
            writer.close()
            raise
        self._idle.append((time.perf_counter(), reader, writer))
        return Response(int(status.split()[1]), headers, answer)

    def close(self) -> None:
        """Close what is not in use."""
        for _, _, writer in self._idle:
            writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.perf_counter() - since < KEPT_S:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)
