"""A real service over real HTTP: uvicorn on a port of its own, in this process or in one of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import anyio
import httpx
import uvicorn
from anyio.from_thread import start_blocking_portal
from starlette.types import ASGIApp

from service.api.arrival import bounded
from service.app import create_app
from service.settings import LimitSettings, Settings
from tests.engine.vllm.stand_in import StandIn


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a service that runs in this process, on a thread."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        config = uvicorn.Config(create_app(settings), http=bounded(settings.limits), log_level="warning", lifespan="on")
        server = uvicorn.Server(config)
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


@contextmanager
def serving_apart(**environment: str) -> Iterator[tuple[httpx.Client, int]]:
    """A client of ``onepass serve`` in a process of its own, with the id of that process."""
    command = [str(Path(sys.executable).with_name("onepass")), "serve", "--port", "0"]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, env=os.environ | environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "Uvicorn running on" in line)
        threading.Thread(target=process.stderr.read).start()  # a full pipe would stop the service
        with httpx.Client(base_url=re.findall(r"http://[\d.:]+", line)[0], timeout=60) as client:
            yield client, process.pid
        process.terminate()


@contextmanager
def slow_model() -> Iterator[str]:
    """The URL of a model server that takes half a second for a call."""
    server = StandIn(context=8192, delay_s=0.5)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server):
        yield server.url


def _wait_until_served(server: uvicorn.Server) -> None:
    waiting = threading.Event()
    while not server.started:
        waiting.wait(0.01)


@asynccontextmanager
async def listening(app: ASGIApp, limits: LimitSettings | None = None) -> AsyncIterator[int]:
    """The port of an application that is served on the event loop of the caller."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        server = uvicorn.Server(uvicorn.Config(app, http=bounded(limits or LimitSettings()), log_level="warning"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            while not server.started:  # noqa: ASYNC110 - uvicorn has nothing to wait for
                await anyio.sleep(0.01)
            yield listener.getsockname()[1]
            server.should_exit = True
