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
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from loadtest.embedded import resident_mb
from loadtest.open_loop import Answered, Ask, Phase, Reply, arrivals, closed_loop, offer, quantile
from loadtest.questions import Questions
from loadtest.serving import service
from loadtest.targets import CUT_SHORT, FULL, REFUSED, SMALLER, Target
from service.evaluation import plots

LOADS = (1, 2, 5, 10)
PROBE_TIMES = 3
"""A recovered service answers within so many times the latency it had alone."""


@dataclass
class Load:
    """What was offered and what came of it."""

    factor: int
    offered: Phase
    answers: list[Answered] = field(default_factory=list)
    peak_mb: float = 0.0

    def of(self, *kinds: str) -> list[float]:
        """Seconds of the answers of these kinds."""
        return [answer.seconds for answer in self.answers if answer.reply.kind in kinds]

    def rate(self, *kinds: str) -> float:
        """Answers of these kinds a second."""
        return len(self.of(*kinds)) / self.offered.seconds

    def watch(self, pid: int) -> None:
        """Note the memory of a process."""
        self.peak_mb = max(self.peak_mb, resident_mb(pid))


RANKED = (FULL, *SMALLER, CUT_SHORT)


async def main() -> None:
    """Measure, print, and draw if asked to."""
    options = _options()
    body = {"candidates": options.candidates, "timeout_ms": options.timeout_ms, "return_documents": False}
    with service({"ONEPASS_ADMISSION__OVERFLOW": options.overflow}) as (url, process):
        target = Target("onepass", "search", url, body)
        loads = await _measured(target, process.pid, options)
        target.close()
    if options.svg:
        points = [(float(load.factor), load.rate(FULL)) for load in loads]
        axes = plots.Axes("Full answers a second over offered load", "times what can be done", "a second")
        options.svg.write_text(plots.lines(axes, {"full": points}))


async def _measured(target: Target, pid: int, options: argparse.Namespace) -> list[Load]:
    questions = Questions(random.Random())

    async def ask() -> Reply:
        return await target.ask(questions.fresh())

    await closed_loop(ask, 2, 3.0)
    alone = statistics.median(_full(await closed_loop(ask, 1, options.seconds / 2)))
    capacity = len(_full(await closed_loop(ask, 3, options.seconds))) / options.seconds
    print(f"alone {alone * 1000:.0f} ms; capacity {capacity:.2f} searches/s; {resident_mb(pid):.0f} MB resident")
    print(f"deadline {options.timeout_ms} ms; {options.seconds:g} s for each load\n\n{_HEADER}")
    loads = []
    for factor in LOADS:
        load = Load(factor, Phase(f"{factor}x", options.seconds, factor * capacity))
        asked = await offer(ask, arrivals([load.offered], random.Random()), partial(load.watch, pid))
        loads.append(load)
        if factor == LOADS[-1]:  # while what was admitted is still under way
            recovered = await _recovery(ask, PROBE_TIMES * alone)
        load.answers = list(await asyncio.gather(*asked))
        print(_row(load, options.timeout_ms), flush=True)
    print(f"\nrecovered {recovered:.2f} s after the last load")
    peak = max(load.rate(FULL) for load in loads)
    print(f"goodput at {LOADS[-1]}x: {loads[-1].rate(FULL) / peak:.0%} of the peak")
    return loads


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each load")
    parser.add_argument("--candidates", type=int, default=20, help="passages ranked by each search")
    parser.add_argument("--timeout-ms", type=int, default=2000, help="deadline of each search")
    parser.add_argument("--overflow", choices=("first_stage", "refuse"), default="first_stage")
    parser.add_argument("--svg", type=Path, help="where to draw goodput over offered load")
    return parser.parse_args()


def _full(answers: Sequence[Answered]) -> list[float]:
    """Seconds of the full answers."""
    return [answer.seconds for answer in answers if answer.reply.kind == FULL]


async def _recovery(ask: Ask, quick: float) -> float:
    """Seconds until a request is sent that is answered in full within ``quick`` seconds."""
    began = time.perf_counter()
    while True:
        sent = time.perf_counter()
        reply = await ask()
        if reply.kind == FULL and time.perf_counter() - sent <= quick:
            return sent - began


_HEADER = (
    "load  offered/s  full/s  smaller plan/s  cut short/s  first stage/s  429/s  other  "
    "ranked p50/p99 ms  late  refused p50/p99 ms  RSS MB"
)


def _row(load: Load, timeout_ms: int) -> str:
    ranked, refused = load.of(*RANKED), load.of(*REFUSED)
    late = sum(seconds * 1000 > timeout_ms for seconds in ranked)
    other = len(load.answers) - len(ranked) - len(refused)
    return (
        f"{load.factor:>3}x {load.offered.rate:>10.1f} {load.rate(FULL):>7.2f}"
        f" {load.rate(*SMALLER):>15.2f} {load.rate(CUT_SHORT):>12.2f}"
        f" {load.rate('first_stage'):>14.2f} {load.rate('429'):>6.1f} {other:>6}"
        f" {quantile(ranked, 0.5):>11.0f} /{quantile(ranked, 0.99):>5.0f} {late:>5}"
        f" {quantile(refused, 0.5):>12.0f} /{quantile(refused, 0.99):>5.0f} {load.peak_mb:>7.0f}"
    )


if __name__ == "__main__":
    asyncio.run(main())
