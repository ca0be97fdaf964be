"""Starts our own service for a load test."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from loadtest.vllm_servers import free_port

_PATIENCE_S = 60


@contextmanager
def service(settings: Mapping[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL and the process of a service with these settings."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("onepass")), "serve", "--port", str(port)]
    environment = {**os.environ, "ONEPASS_LOGS__LEVEL": "error", **settings}
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603 - our own command
        try:
            yield ready(f"http://127.0.0.1:{port}"), process
        finally:
            process.terminate()


def ready(url: str, path: str = "/readyz", patience_s: float = _PATIENCE_S) -> str:
    """``url``, once its server answers at ``path``."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        with suppress(httpx.HTTPError):
            if httpx.get(url + path, trust_env=False).is_success:
                return url
        time.sleep(0.1)
    raise SystemExit(f"{url} was not ready within {patience_s:g} s")
