"""What overload does to the service: ``python -m loadtest.overload [--svg overload.svg]``.

Starts ``onepass serve`` with the embedded engine over the demo index (``make run`` builds it), measures what it can do
with a few requests at once, then offers searches at 1, 2, 5 and 10 times that rate, open loop, with Poisson arrivals:
a request is sent when its time has come, whether or not the earlier ones are answered. Each asks something new, so that
no cache helps. Prints a table for each load: full answers a second (goodput), what became of the others, latency
of those ranked against their deadline, what a refusal costs, and the service's memory; and how soon after the last load
a request is answered as quickly as before the first. The generator shares the machine with the service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.embedded import resident_mb
from loadtest.gateway_throughput import ready
from loadtest.vllm_servers import free_port

WORDS = ("read", "write", "list", "file", "csv", "path", "socket", "thread", "queue", "time", "date", "json")
LOADS = (1, 2, 5, 10)
KEPT_S = 2.0
"""A connection is used again within so many seconds; the service closes idle ones after five."""
PROBE_TIMES = 3
"""A recovered service answers within so many times the latency it had alone."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: what became of it, when it was sent, and how long it took in seconds."""

    kind: str
    seconds: float


@dataclass
class Load:
    """What was offered and what came of it."""

    factor: float
    offered: float
    seconds: float
    answers: list[Answered] = field(default_factory=list)
    peak_mb: float = 0.0

    def of(self, *kinds: str) -> list[float]:
        """Seconds of the answers of these kinds, sorted."""
        return sorted(answer.seconds for answer in self.answers if answer.kind in kinds)

    def rate(self, *kinds: str) -> float:
        """Answers of these kinds a second."""
        return len(self.of(*kinds)) / self.seconds


class Client:
    """Prebuilt requests over raw sockets: one connection each, kept while it is of use."""

    def __init__(self, port: int, timeout_ms: int, body: dict[str, object]) -> None:
        self._port = port
        self._body = body | {"timeout_ms": timeout_ms, "return_documents": False}
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> Answered:
        """Send a search that nobody has sent before, and tell what became of it."""
        query = " ".join(random.choices(WORDS, k=6)) + f" {random.randrange(10**9)}"
        body = json.dumps(self._body | {"query": query}).encode()
        began = time.perf_counter()
        reader, writer = await self._connected()
        head = b"POST /v1/search HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        answer_head = await reader.readuntil(b"\r\n\r\n")
        length = int(answer_head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer = await reader.readexactly(length)
        self._idle.append((time.perf_counter(), reader, writer))
        return Answered(_kind(int(answer_head[9:12]), answer), time.perf_counter() - began)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.perf_counter() - since < KEPT_S:
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)

    def close(self) -> None:
        """Close all connections."""
        for _, _, writer in self._idle:
            writer.close()


def _kind(status: int, answer: bytes) -> str:
    if status != 200:
        return str(status)
    ranking = json.loads(answer)["rerank"]
    if not ranking["degraded"]:
        return "full"
    return str(ranking["degraded_step"] or "cut short")


RANKED = ("full", "fewer_candidates", "single_window", "cut short")
NOT_RANKED = ("first_stage", "429")


async def main() -> None:
    """Measure, print, and draw if asked to."""
    options = _options()
    body: dict[str, object] = {"candidates": options.candidates}
    with _service(options.overflow) as (port, pid):
        client = Client(port, options.timeout_ms, body)
        await _closed_loop(client, 2, 3.0)
        alone = statistics.median(await _closed_loop(client, 1, options.seconds / 2))
        capacity = len(await _closed_loop(client, 3, options.seconds)) / options.seconds
        print(f"alone {alone * 1000:.0f} ms; capacity {capacity:.2f} searches/s; {resident_mb(pid):.0f} MB resident")
        print(f"deadline {options.timeout_ms} ms; {options.seconds:g} s for each load\n\n{_HEADER}")
        loads = []
        for factor in LOADS:
            load, asked = await _offer(client, pid, factor, factor * capacity, options.seconds)
            loads.append(load)
            if factor == LOADS[-1]:  # while what was admitted is still under way
                recovered = await _recovery(client, PROBE_TIMES * alone)
            load.answers = list(await asyncio.gather(*asked))
            print(_row(load, options.timeout_ms), flush=True)
        print(f"\nrecovered {recovered:.2f} s after the last load")
        peak = max(load.rate("full") for load in loads)
        print(f"goodput at {LOADS[-1]}x: {loads[-1].rate('full') / peak:.0%} of the peak")
        client.close()
    if options.svg:
        options.svg.write_text(_drawn(loads))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each load")
    parser.add_argument("--candidates", type=int, default=20, help="passages ranked by each search")
    parser.add_argument("--timeout-ms", type=int, default=2000, help="deadline of each search")
    parser.add_argument("--overflow", choices=("first_stage", "refuse"), default="first_stage")
    parser.add_argument("--svg", type=Path, help="where to draw goodput over offered load")
    return parser.parse_args()


@contextmanager
def _service(overflow: str) -> Iterator[tuple[int, int]]:
    """A fresh service's port and process id."""
    port = free_port()
    environment = {"ONEPASS_ADMISSION__OVERFLOW": overflow, "ONEPASS_LOGS__LEVEL": "error"}
    command = [str(Path(sys.executable).with_name("onepass")), "serve", "--port", str(port)]
    with subprocess.Popen(command, env=os.environ | environment) as process:  # noqa: S603 - our own command
        try:
            ready(f"http://127.0.0.1:{port}")
            yield port, process.pid
        finally:
            process.terminate()


async def _closed_loop(client: Client, concurrency: int, seconds: float) -> list[float]:
    """Seconds of each full answer, with so many requests under way at any time."""
    end = time.perf_counter() + seconds
    taken: list[float] = []

    async def ask_on() -> None:
        while time.perf_counter() < end:
            answered = await client.ask()
            if answered.kind == "full":
                taken.append(answered.seconds)

    await asyncio.gather(*(ask_on() for _ in range(concurrency)))
    return taken


async def _offer(
    client: Client, pid: int, factor: int, rate: float, seconds: float
) -> tuple[Load, list[asyncio.Task[Answered]]]:
    """Requests at ``rate`` a second, whether or not they are answered."""
    load = Load(factor, rate, seconds)
    asked: list[asyncio.Task[Answered]] = []
    at = time.perf_counter()
    end = at + seconds
    while (at := at + random.expovariate(rate)) < end:
        await asyncio.sleep(at - time.perf_counter())
        asked.append(asyncio.create_task(client.ask()))
        load.peak_mb = max(load.peak_mb, resident_mb(pid))
    return load, asked


async def _recovery(client: Client, quick: float) -> float:
    """Seconds until a request is answered in full within ``quick`` seconds."""
    began = time.perf_counter()
    while True:
        answered = await client.ask()
        if answered.kind == "full" and answered.seconds <= quick:
            return time.perf_counter() - began - answered.seconds


_HEADER = (
    "load  offered/s  full/s  smaller plan/s  cut short/s  first stage/s  429/s  other  "
    "ranked p50/p99 ms  late  refused p50/p99 ms  RSS MB"
)


def _row(load: Load, timeout_ms: int) -> str:
    ranked, refused = load.of(*RANKED), load.of(*NOT_RANKED)
    late = sum(seconds * 1000 > timeout_ms for seconds in ranked)
    other = len(load.answers) - len(ranked) - len(refused)
    return (
        f"{load.factor:>3}x {load.offered:>10.1f} {load.rate('full'):>7.2f}"
        f" {load.rate('fewer_candidates', 'single_window'):>15.2f} {load.rate('cut short'):>12.2f}"
        f" {load.rate('first_stage'):>14.2f} {load.rate('429'):>6.1f} {other:>6}"
        f" {_quantile(ranked, 0.5):>11} /{_quantile(ranked, 0.99):>5} {late:>5}"
        f" {_quantile(refused, 0.5):>12} /{_quantile(refused, 0.99):>5} {load.peak_mb:>7.0f}"
    )


def _quantile(values: Sequence[float], share: float) -> str:
    """Milliseconds, of sorted seconds."""
    return f"{values[min(len(values) - 1, int(share * len(values)))] * 1000:.0f}" if values else "-"


def _drawn(loads: Sequence[Load]) -> str:
    """Full answers a second over offered load, as a small picture."""
    top = max(load.rate("full") for load in loads) * 1.2
    points = [(60 + 500 * load.factor / LOADS[-1], 260 - 220 * load.rate("full") / top) for load in loads]
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
    marks = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4"/><text x="{x:.0f}" y="{y - 10:.0f}">{load.rate("full"):.2f}</text>'
        f'<text x="{x:.0f}" y="280">{load.factor}x</text>'
        for (x, y), load in zip(points, loads, strict=True)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 300" font-family="sans-serif" font-size="12" '
        'text-anchor="middle"><path d="M60 20V260H580" fill="none" stroke="gray"/>'
        f'<polyline points="{line}" fill="none" stroke="steelblue" stroke-width="2"/>{marks}'
        '<text x="300" y="14">full answers a second over offered load</text></svg>\n'
    )


if __name__ == "__main__":
    asyncio.run(main())
