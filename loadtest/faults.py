"""What each fault costs a caller: error rate, worst latency, what is degraded; as one table.

    python -m loadtest.faults

Starts a service with the demo index (``onepass index build stdlib --name python-docs``) on loopback for each fault,
with a real Valkey and, for the engine's faults, a server that speaks vLLM and misbehaves on purpose. Eight callers ask
different questions one after the other, each with a deadline, while the fault goes on. Debian's ``faketime`` makes the
clock jump; without it that row is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx

from loadtest.fault_kinds import FAULTS, Fault
from service.corpus.beir import BeirFolder
from service.demo import JUDGED

TIMEOUT_MS = 1000
CALLERS = 8


@dataclass
class Outcome:
    """What callers got."""

    requests: int = 0
    errors: int = 0
    worst_ms: float = 0.0
    degraded: Counter[str] = field(default_factory=Counter)
    cache: Counter[str] = field(default_factory=Counter)

    def row(self, name: str) -> str:
        """A line of the table."""
        shown = ", ".join(f"{reason} {count}" for reason, count in self.degraded.most_common()) or "none"
        cache = ", ".join(f"{state} {count}" for state, count in self.cache.most_common())
        return f"| {name} | {self.requests} | {self.errors} | {self.worst_ms:.0f} | {shown} | {cache} |"


async def main() -> None:
    """Print the table."""
    options = _options()
    print("| fault | requests | errors | worst ms | degraded | cache |\n|---|---|---|---|---|---|", flush=True)
    for name in options.only or FAULTS:
        async with FAULTS[name]() as (url, begin):
            print((await _asked(url, begin, options.seconds)).row(name), flush=True)


async def _asked(url: str, begin: Fault, seconds: float) -> Outcome:
    """What callers get in so many seconds, in the middle third of which the fault begins."""
    outcome = Outcome()
    texts = list(BeirFolder(JUDGED).queries().values())
    until = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=url, timeout=30) as client, asyncio.TaskGroup() as asking:
        for number in range(CALLERS):
            asking.create_task(_call(client, texts[number::CALLERS], until, outcome))
        await asyncio.sleep(seconds / 3)
        await begin()
    return outcome


async def _call(client: httpx.AsyncClient, texts: list[str], until: float, outcome: Outcome) -> None:
    number = 0
    while time.monotonic() < until:
        body = {"query": texts[number % 6], "candidates": 10, "timeout_ms": TIMEOUT_MS, "return_documents": False}
        number += 1
        began = time.monotonic()
        response = await client.post("/v1/search", json=body)
        outcome.requests += 1
        outcome.worst_ms = max(outcome.worst_ms, (time.monotonic() - began) * 1000)
        if response.status_code != httpx.codes.OK:
            outcome.errors += 1
            continue
        answer = response.json()
        outcome.cache[answer["cache"]] += 1
        if answer["rerank"]["degraded"]:
            outcome.degraded[answer["rerank"]["reason"]] += 1
        await asyncio.sleep(0.05)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=9, help="for each fault")
    parser.add_argument("--only", action="append", choices=FAULTS, help="this fault; may be given several times")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
