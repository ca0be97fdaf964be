"""Latency of the embedded default: ``python -m loadtest.embedded [--requests 60]``.

Starts a service on a free port, without a cache of answers, and asks one request at a time: searches of the demo index
with 100 candidates, then rerank requests of 100 and of 20 passages of about 100 tokens, never seen before and asked
about again. Then it searches with four callers at once, which tells the rate. Prints p50, p95 and p99, the time to
ready and the resident memory. The demo index has to be built (``make run`` does it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from loadtest.questions import Passages
from service.demo import JUDGED

CANDIDATES = 100
WORDS = 68
"""Of a passage: about 100 tokens of the demo corpus."""
CALLERS = 4
QUESTIONS = [json.loads(line)["text"] for line in (JUDGED / "queries.jsonl").read_text("utf-8").splitlines()]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def service() -> AsyncIterator[tuple[httpx.AsyncClient, int]]:
    """A client of a fresh service, and the service's process id."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("onepass")), "serve", "--port", str(port)]
    started = time.perf_counter()
    environment = os.environ | {"ONEPASS_CACHE__KIND": "off"}
    process = subprocess.Popen(command, env=environment)  # noqa: S603, ASYNC220  our own command
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            while not await ready(client):  # noqa: ASYNC110  another process has no event to wait for
                await asyncio.sleep(0.02)
            print(f"ready after {time.perf_counter() - started:.2f} s, {resident_mb(process.pid):.0f} MB resident")
            yield client, process.pid
    finally:
        process.terminate()
        process.wait()


async def ready(client: httpx.AsyncClient) -> bool:
    """Whether the service answers."""
    try:
        return (await client.get("/readyz")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


class Asked:
    """What was asked of the service, and how long each answer took in milliseconds."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._took: list[float] = []
        self._degraded = 0

    async def ask(self, path: str, body: dict[str, object]) -> None:
        """Send one request and take its time."""
        started = time.perf_counter()
        response = await self._client.post(
            path, json=body | {"timeout_ms": 60_000, "top_n" if "rerank" in path else "top_k": 10}
        )
        self._took.append((time.perf_counter() - started) * 1000)
        self._degraded += bool(response.raise_for_status().json()["rerank"]["degraded"])

    def told(self, what: str) -> str:
        """A line of percentiles."""
        cuts = statistics.quantiles(self._took, n=100)
        return (
            f"{what}: p50 {statistics.median(self._took):.1f} ms, p95 {cuts[94]:.1f} ms, p99 {cuts[98]:.1f} ms; "
            f"{len(self._took)} asked, {self._degraded} degraded"
        )


async def searches(client: httpx.AsyncClient, requests: int) -> None:
    """Searches of the demo index, one at a time, then four at once."""
    alone = Asked(client)
    for number in range(requests):
        await alone.ask(
            "/v1/search", {"query": f"{QUESTIONS[number % len(QUESTIONS)]} {number}", "candidates": CANDIDATES}
        )
    print(alone.told(f"search, {CANDIDATES} candidates"))
    together, numbers, started = Asked(client), iter(range(requests)), time.perf_counter()

    async def caller() -> None:
        for number in numbers:
            await together.ask("/v1/search", {"query": f"{number} {QUESTIONS[number % len(QUESTIONS)]}"})

    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(caller())
    rate = requests / (time.perf_counter() - started)
    print(together.told(f"search, {CALLERS} callers, {rate:.0f} a second"))


async def reranks(client: httpx.AsyncClient, requests: int, count: int) -> None:
    """Rerank requests of passages that were never seen, each list asked about again with another question."""
    unseen, seen, passages = Asked(client), Asked(client), Passages(random.Random(count))
    for number in range(requests):
        documents = passages.take(count, WORDS)
        for asked, question in ((unseen, QUESTIONS[0]), (Asked(client), QUESTIONS[1]), (seen, QUESTIONS[2])):
            await asked.ask("/v1/rerank", {"query": f"{question} {number}", "documents": documents})
    print(unseen.told(f"rerank, {count} passages never seen"))
    print(seen.told(f"rerank, {count} passages read before"))


async def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=60, help="requests for each line")
    requests = parser.parse_args().requests
    async with service() as (client, pid):
        await searches(client, 10)  # warm
        await searches(client, requests)
        for count in (20, CANDIDATES):
            await reranks(client, max(2, requests // 3), count)
        print(f"{resident_mb(pid):.0f} MB resident at the end")


if __name__ == "__main__":
    asyncio.run(main())
