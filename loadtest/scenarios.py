"""Offers load to a reranking service, and to others beside it, and reports what came of it.

    python -m loadtest.scenarios                                    all scenarios against our own service
    python -m loadtest.scenarios ramp --html report.html --target ours=rerank@http://127.0.0.1:8080

Open loop, Poisson arrivals, latency from the time at which a request was to be sent (``open_loop.py``). Rates are
multiples of ``--rate``, or of what the first server can do with a few requests at once:

- steady: .7 times;
- ramp: from .2 to 1.6 times in eight steps;
- spike: .5 times, with 3 times in the middle third;
- zipf: as steady, but with questions of which some are asked much more often than others, so that a cache has its usual
  share. In the other scenarios nothing is asked twice.

Servers are asked in turn, scenario by scenario, with the same kind of payload; they share the machine with this
generator. ``--target peer=vllm@http://127.0.0.1:8101`` asks another one in its own dialect. Without ``--target`` the
embedded default is started over the demo index (``make run`` builds it) and searched. Load goes to loopback only,
unless ``--remote`` is given.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from loadtest.load_report import Run, markdown, page, stage_medians
from loadtest.open_loop import Phase, Reply, arrivals, closed_loop, offer
from loadtest.questions import Popular, Question, Questions
from loadtest.serving import service
from loadtest.targets import DIALECTS, FULL, Target, require_loopback

_RAMP = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
_LONGEST_S = 600
_ROUNDS = 3
SHAPES: Mapping[str, Callable[[float, float], list[Phase]]] = {
    "steady": lambda seconds, rate: [Phase("0.7x", seconds, 0.7 * rate)],
    "ramp": lambda seconds, rate: [Phase(f"{factor}x", seconds / len(_RAMP), factor * rate) for factor in _RAMP],
    "spike": lambda seconds, rate: [Phase(f"{factor}x", seconds / 3, factor * rate) for factor in (0.5, 3, 0.5)],
    "zipf": lambda seconds, rate: [Phase("0.7x", seconds, 0.7 * rate)],
}
"""The phases of each scenario, for so many seconds in all and a rate of so many requests a second."""


def main() -> None:
    """Offer, print, and write the page if asked to."""
    options = _options()
    with contextlib.ExitStack() as running:
        targets = list(_targets(options, running))
        runs, facts = asyncio.run(_measured(targets, options))
    print(markdown(runs))
    for run in runs:
        for phase, answers in run.by_phase():
            split = ", ".join(f"{stage} {ms:.1f}" for stage, ms in stage_medians(answers).items())
            print(f"{run.scenario}, {run.target}, {phase.name}: median ms: {split or 'not told'}")
    if options.html:
        options.html.write_text(page("Load on rerankers", facts, runs), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", choices=[*SHAPES, []], default=list(SHAPES), help="all by default")
    parser.add_argument(
        "--target", action="append", default=[], metavar="NAME=DIALECT@URL", help=f"dialects: {', '.join(DIALECTS)}"
    )
    parser.add_argument(
        "--pid", action="append", default=[], metavar="NAME=PID", help="a target's process, to tell its CPU time"
    )
    parser.add_argument("--rate", type=float, help="requests a second that count as 1x")
    parser.add_argument("--seconds", type=float, default=30.0, help=f"for each scenario, at most {_LONGEST_S}")
    parser.add_argument("--documents", type=int, default=20, help="passages of each list, or candidates of a search")
    parser.add_argument("--words", type=int, default=60, help="words of each passage")
    parser.add_argument("--timeout-ms", type=int, default=5000, help="deadline of each request to our own service")
    parser.add_argument("--model", default="peer", help="name that other servers know their model by")
    parser.add_argument("--distinct", type=int, default=200, help="different questions of zipf")
    parser.add_argument("--exponent", type=float, default=0.9, help="of zipf")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--html", type=Path, help="where to write the report as a page")
    parser.add_argument("--remote", action="store_true", help="let servers on other machines be loaded")
    options = parser.parse_args()
    if not 0 < options.seconds <= _LONGEST_S:
        parser.error(f"a scenario takes at most {_LONGEST_S} seconds")
    return options


def _targets(options: argparse.Namespace, running: contextlib.ExitStack) -> Iterator[Target]:
    """The servers to ask; ours is started where none is named."""
    ours = {"timeout_ms": options.timeout_ms, "return_documents": False}
    if not options.target:
        url, process = running.enter_context(service({}))
        yield Target("onepass", "search", url, {**ours, "candidates": options.documents}, pid=process.pid)
    pids = {name: int(pid) for name, _, pid in (given.partition("=") for given in options.pid)}
    for given in options.target:
        name, _, place = given.partition("=")
        dialect, _, url = place.partition("@")
        if dialect not in DIALECTS:
            raise SystemExit(f"{given}: write NAME=DIALECT@URL, with a dialect of {', '.join(DIALECTS)}")
        if not options.remote:
            require_loopback(url)
        more = {"search": {**ours, "candidates": options.documents}, "rerank": ours}.get(dialect, {})
        yield Target(name, dialect, url, more, options.model, pids.get(name))


async def _measured(targets: Sequence[Target], options: argparse.Namespace) -> tuple[list[Run], dict[str, str]]:
    """Every scenario against every server, and the conditions."""
    generator = random.Random(options.seed)
    brings = any(target.dialect.brings_documents for target in targets)
    questions = Questions(generator, options.documents if brings else 0, options.words)
    popular = Popular(questions, options.distinct, options.exponent, generator)
    rounds = await _capacities(targets, questions, options.seconds / _ROUNDS)
    first = statistics.median(done.rate for done in rounds[targets[0].name])
    if not first:
        raise SystemExit(f"{targets[0].name} answered nothing in full")
    rate = options.rate or first
    facts = {
        "1x": f"{rate:.2f} requests a second",
        "full answers a second, 4 at once": "; ".join(_shown(name, found, first) for name, found in rounds.items()),
        "payload": f"{options.documents} passages of {options.words} words",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared with the generator",
        "options": json.dumps(vars(options), default=str),
    }
    for name, value in facts.items():
        print(f"{name}: {value}", flush=True)
    runs = []
    for scenario in options.scenarios:
        draw = popular.draw if scenario == "zipf" else questions.fresh
        phases = SHAPES[scenario](options.seconds, rate)
        for target in targets:
            due = arrivals(phases, generator)
            answers = await asyncio.gather(*await offer(partial(_ask, target, draw), due))
            runs.append(Run(scenario, target.name, phases, answers))
    for target in targets:
        target.close()
    return runs, facts


@dataclass(frozen=True, slots=True)
class _Round:
    """Full answers a second, and the CPU time that each took; 0 where the server's process is not known."""

    rate: float
    cpu_ms: float


async def _capacities(targets: Sequence[Target], questions: Questions, seconds: float) -> dict[str, list[_Round]]:
    """What each can do with a few requests under way, the servers taking turns, after a round that warms up."""
    rounds: dict[str, list[_Round]] = {target.name: [] for target in targets}
    for number in range(_ROUNDS + 1):
        for target in targets:
            began, spent = time.perf_counter(), target.cpu_seconds()
            answers = await closed_loop(partial(_ask, target, questions.fresh), 4, seconds)
            full = sum(answer.reply.kind == FULL for answer in answers)
            if number:
                took, spent = time.perf_counter() - began, target.cpu_seconds() - spent
                rounds[target.name].append(_Round(full / took, spent * 1000 / max(1, full)))
    return rounds


def _shown(name: str, rounds: Sequence[_Round], first: float) -> str:
    """The median rate with the extremes, its ratio to the first server's, and the CPU time of an answer."""
    rates = [done.rate for done in rounds]
    median = statistics.median(rates)
    cpu = statistics.median(done.cpu_ms for done in rounds)
    cost = f", {cpu:.0f} ms of CPU time each" if cpu else ""
    return f"{name} {median:.2f} ({min(rates):.2f} to {max(rates):.2f}), {median / first:.2f} times the first{cost}"


async def _ask(target: Target, draw: Callable[[], Question]) -> Reply:
    return await target.ask(draw())


if __name__ == "__main__":
    main()
