"""A server in front of the service that has the first request refused for good reason, and counts them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

_PASSED_ON = {"content-type", "authorization", "x-api-key", "retry-after", "retry-after-ms"}


class Front(ThreadingHTTPServer):
    """Sends the first request to ``service`` with a ``key`` of which no more is allowed, all others as they come."""

    def __init__(self, service: httpx.Client, key: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.service = service
        self.key = key
        self.arrivals: list[float] = []
        self.retry_after = 0.0

    def passed_on(self, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        """What the service answers; the first time, that it is too much."""
        self.arrivals.append(time.monotonic())
        if len(self.arrivals) > 1:
            return self.service.post(path, headers=headers, content=body)
        headers |= {"authorization": f"Bearer {self.key}"}
        response = self.service.post(path, headers=headers, content=body)
        while response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
            response = self.service.post(path, headers=headers, content=body)
        self.retry_after = float(response.headers["retry-after-ms"]) / 1000
        return response


class _Handler(BaseHTTPRequestHandler):
    server: Front

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        response = self.server.passed_on(self.path, _kept(self.headers.items()), body)
        self.send_response(response.status_code)
        for name, value in _kept(response.headers.items()).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.content)))
        self.end_headers()
        self.wfile.write(response.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _kept(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers if name.lower() in _PASSED_ON}


@contextmanager
def fronted(service: httpx.Client, key: str) -> Iterator[Front]:
    """Such a server, served on a thread."""
    with Front(service, key) as front:
        thread = threading.Thread(target=front.serve_forever)
        thread.start()
        yield front
        front.shutdown()
        thread.join()
