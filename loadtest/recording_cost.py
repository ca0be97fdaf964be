"""What metrics, log lines and traces cost: services that record against one that does not.

    python -m loadtest.recording_cost

All run on loopback, pinned to the first core, and are asked turn by turn from another one. One observes nothing; one
has metrics, log lines and traces as the settings have them, its spans sent to a collector here; one writes a line for
each request too. ``--sample 1`` traces every request. With the engine that makes its logits up, the gateway is what is
measured. Told are the medians, over all rounds, of requests a second and of CPU time a request, and of their ratios to
the first one's within a round; CPU time says more where the machine has other work. Needs the demo index
(``onepass index build stdlib --name python-docs``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.serving import ready
from loadtest.vllm_servers import free_port
from loadtest.vllm_throughput import Straight, rate
from service.cli import main as command_line
from service.observability.logs import LogObserver
from service.observability.prometheus import PrometheusObserver
from tests.observability.collector import collecting

SERVER_CORE, CLIENT_CORE = 0, 1
NOTHING, AS_SET, EACH_REQUEST = "nothing", "metrics, logs, traces", "and a line each"
HIT = {"query": "read a csv file into dictionaries"}


@dataclass(frozen=True)
class Load:
    """Requests of one kind: ``share`` of the number asked for, since some are slow."""

    name: str
    engine: str
    hits: bool = False
    share: float = 1.0

    @property
    def path(self) -> str:
        """The endpoint asked."""
        return "/v1/search" if self.hits else "/v1/rerank"

    def bodies(self, count: int) -> list[dict[str, Any]]:
        """The requests of a turn; no two alike, or all of them."""
        made = max(1, round(count * self.share))
        return [dict(HIT) if self.hits else _passages() for _ in range(made)]


LOADS = (
    Load("20 passages, made-up logits", "fake"),
    Load("20 passages, embedded engine", "encoders", share=0.05),
    Load("cache hits", "fake", hits=True, share=25.0),
)


@dataclass(frozen=True)
class Turn:
    """What was measured of one service in one round."""

    per_second: float
    cpu_ms: float


class Service:
    """A process of its own."""

    def __init__(self, url: str, process: int) -> None:
        self._url = url
        self._stat = Path(f"/proc/{process}/stat")

    async def turn(self, load: Load, options: argparse.Namespace) -> Turn:
        """Ask it ``load``."""
        bodies = load.bodies(options.requests)
        client = Straight(self._url, load.path, lambda body: body, options.concurrency)
        client.encode(bodies)
        async with client:
            before = self._cpu_s
            per_second = await rate(client.ask, bodies, options.concurrency)
            return Turn(per_second, (self._cpu_s - before) / len(bodies) * 1000)

    @property
    def _cpu_s(self) -> float:
        """Seconds of all its threads, in user mode and in the kernel."""
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print both measures for each load."""
    options = _options()
    os.sched_setaffinity(0, {CLIENT_CORE})
    for load in LOADS:
        with collecting() as collector, ExitStack() as running:
            traces = {"ONEPASS_TRACES__ENDPOINT": collector.url, "ONEPASS_TRACES__SAMPLE": str(options.sample)}
            settings = {NOTHING: {}, AS_SET: traces, EACH_REQUEST: traces | {"ONEPASS_LOGS__REQUESTS": "true"}}
            services = {name: running.enter_context(_service(load, some)) for name, some in settings.items()}
            turns = asyncio.run(_turns(load, services, options))
        _tell(load, turns)


async def _turns(load: Load, services: Mapping[str, Service], options: argparse.Namespace) -> dict[str, list[Turn]]:
    """By service, one for each round but the first, which warms up; the order changes with every round."""
    turns: dict[str, list[Turn]] = {name: [] for name in services}
    order = list(services)
    for _ in range(options.rounds + 1):
        for name in order:
            turns[name].append(await services[name].turn(load, options))
        random.shuffle(order)
    return {name: found[1:] for name, found in turns.items()}


def _tell(load: Load, turns: Mapping[str, list[Turn]]) -> None:
    for name, found in turns.items():
        throughput = [ours.per_second / theirs.per_second for ours, theirs in zip(found, turns[NOTHING], strict=True)]
        saved = [theirs.cpu_ms / ours.cpu_ms for ours, theirs in zip(found, turns[NOTHING], strict=True)]
        per_second, cpu_ms = (
            statistics.median(getattr(turn, what) for turn in found) for what in ("per_second", "cpu_ms")
        )
        print(
            f"{load.name}, {name}: {per_second:.0f} a second ({statistics.median(throughput):.3f}), "
            f"{cpu_ms:.3f} ms of CPU each ({statistics.median(saved):.3f})",
            flush=True,
        )


@contextmanager
def _service(load: Load, recording: Mapping[str, str]) -> Iterator[Service]:
    """One that records by those settings; nothing at all without any."""
    port = free_port()
    settings = {"ONEPASS_ENGINE__KIND": load.engine, "ONEPASS_LOGS__JSON_LINES": "true", **recording}
    command = [sys.executable, "-m", "loadtest.recording_cost", "--serve", str(port)]
    with subprocess.Popen(  # noqa: S603 - our own command
        command if recording else [*command, "--unrecorded"], env=os.environ | settings, stderr=subprocess.DEVNULL
    ) as process:
        try:
            os.sched_setaffinity(process.pid, {SERVER_CORE})
            yield Service(ready(f"http://127.0.0.1:{port}", "/livez", 300), process.pid)
        finally:
            process.terminate()


def _serve(port: int, *, unrecorded: bool) -> None:
    """``onepass serve``, with observers that look at nothing where nothing is to be recorded."""
    if unrecorded:
        for observer in (PrometheusObserver, LogObserver):
            observer.observe = lambda *_: None  # type: ignore[method-assign]
    sys.argv = ["onepass", "serve", "--port", str(port)]
    command_line()


def _passages() -> dict[str, Any]:
    return {"query": _words(8), "documents": [_words(33) for _ in range(20)], "timeout_ms": 60_000}


def _words(count: int) -> str:
    return " ".join(random.choices(("bare", "gate", "tide", "honey", "rust", "loaf", "moon", "sail"), k=count))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--requests", type=int, default=400, help="in a turn")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sample", type=float, default=0.1, help="share of requests traced")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--unrecorded", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    if _options().serve:
        _serve(_options().serve, unrecorded=_options().unrecorded)
    else:
        main()
