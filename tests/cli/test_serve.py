from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import Cli

PROGRAM = [sys.executable, "-c", "from service.cli import main; main()"]


@pytest.fixture
def server(cli: Cli, beir: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service in a process of its own, on a port that was free, and its address."""
    cli("index", "build", beir)
    with subprocess.Popen(  # noqa: S603 - our own program
        [*PROGRAM, "serve", "--port", "0"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            pytest.fail("the service ended before it listened")
        yield process, found[0]
        process.kill()


def test_the_service_answers_and_ends_when_told_to(server: tuple[subprocess.Popen[str], str]) -> None:
    process, address = server
    answer = httpx.post(f"{address}/v1/search", json={"query": "how do bees make honey"}, timeout=30)
    assert answer.status_code == 200
    assert {result["id"] for result in answer.json()["results"]} == {"tides", "honey", "bread", "rust"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


def test_a_profile_that_does_not_exist_is_named(cli: Cli) -> None:
    assert "no profile of that name" in cli("serve", "--profile", "unheard-of", code=2).output
