"""A real service over real HTTP: uvicorn on a port of its own, in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import uvicorn

from service.app import create_app
from service.settings import Settings


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a service that runs in this process, on a thread."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        port = listener.getsockname()[1]
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                _wait_until_served(server)
                yield client
        finally:
            server.should_exit = True
            thread.join()


def _wait_until_served(server: uvicorn.Server) -> None:
    waiting = threading.Event()
    while not server.started:
        waiting.wait(0.01)
