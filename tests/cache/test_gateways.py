"""Several gateways, one store: the same question asked a thousand times at once costs one ranking."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from tests.cache.valkey import Valkey, valkey

QUESTIONS, GATEWAYS = 1000, 4
RANKINGS = re.compile(r"^onepass_rankings_total\{.*\} (.*)$", re.MULTILINE)
BODY = {"query": "read a csv file into dictionaries", "candidates": 30, "timeout_ms": 60_000}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    with valkey(tmp_path) as running:
        yield running


@contextmanager
def gateway(indexes: Path, cache: str) -> Iterator[str]:
    """The URL of a service in a process of its own."""
    settings = {
        "ONEPASS_INDEXES__DIRECTORY": str(indexes),
        "ONEPASS_CACHE__KIND": "redis",
        "ONEPASS_CACHE__URL": cache,
        "ONEPASS_CACHE__LIMIT_MS": "2000",  # five processes and a thousand callers on whatever machine this is
    }
    command = [str(Path(sys.executable).with_name("onepass")), "serve", "--port", "0"]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, env=os.environ | settings, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "Uvicorn running on" in line)
            yield re.findall(r"http://[\d.:]+", line)[0]
        finally:
            process.terminate()


@pytest.mark.anyio
async def test_a_thousand_callers_of_four_gateways_cost_one_ranking(demo_indexes: Path, server: Valkey) -> None:
    with ExitStack() as running:
        urls = [running.enter_context(gateway(demo_indexes, server.url)) for _ in range(GATEWAYS)]
        answers: list[dict[str, object]] = []
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:

            async def ask(url: str) -> None:
                answers.append((await client.post(f"{url}/v1/search", json=BODY)).json())

            async with anyio.create_task_group() as asking:
                for number in range(QUESTIONS):
                    asking.start_soon(ask, urls[number % GATEWAYS])
            pages = [(await client.get(f"{url}/metrics")).text for url in urls]

    rankings = sum(float(count) for page in pages for count in RANKINGS.findall(page))
    assert rankings == 1
    assert len(answers) == QUESTIONS
    assert all(answer["results"] == answers[0]["results"] for answer in answers)
    assert Counter(str(answer["cache"]) for answer in answers)["miss"] == 1
