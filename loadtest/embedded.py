"""Latency of the embedded default: ``python loadtest/embedded.py [--requests 30]``.

Starts a service on a free port, ranks 100 passages of 60 words with each strategy, one request at a time, and prints
p50 and p95; then asks the same with a deadline of 50 ms. Also prints the time to ready and the resident memory. The
passages are cut from the demo corpus, which has to be built (``make run`` does it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
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

CANDIDATES = 100
WORDS = 60
QUERIES = [
    "read a csv file into dictionaries",
    "limit how many coroutines run at once",
    "create a temporary directory that is removed afterwards",
    "parse a date from a string",
    "run a command and capture what it prints",
]


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
    process = subprocess.Popen(command)  # noqa: S603, ASYNC220  our own command
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


async def measure(client: httpx.AsyncClient, requests: int, body: dict[str, object]) -> None:
    """Send ``requests`` one after the other and print how long they took."""
    texts = Passages(random.Random(7)).take(CANDIDATES, WORDS)
    took: list[float] = []
    answers: list[dict[str, object]] = []
    for number in range(requests + 2):
        request = {"query": QUERIES[number % len(QUERIES)], "documents": texts} | body
        started = time.perf_counter()
        response = await client.post("/v1/rerank", json=request)
        if number >= 2:  # the first two warm up
            took.append((time.perf_counter() - started) * 1000)
            answers.append(response.raise_for_status().json()["rerank"])
    cuts = statistics.quantiles(took, n=20)
    cost = sorted({(a["prompts"], a["rounds"]) for a in answers})
    degraded = sum(bool(a["degraded"]) for a in answers)
    print(
        f"{json.dumps(body)}: p50 {statistics.median(took):.0f} ms, p95 {cuts[18]:.0f} ms, max {max(took):.0f} ms; "
        f"(prompts, rounds) {cost}; degraded {degraded} of {len(answers)}"
    )


async def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=30, help="requests for each line")
    requests = parser.parse_args().requests
    async with service() as (client, pid):
        for strategy in ("sliding", "top_down", "single"):
            await measure(client, requests, {"rerank": {"strategy": strategy}, "timeout_ms": 60_000, "top_n": 10})
        await measure(client, requests, {"timeout_ms": 50, "top_n": 10})
        print(f"{resident_mb(pid):.0f} MB resident at the end")


if __name__ == "__main__":
    asyncio.run(main())
