"""A long run at part load with faults: does anything leak, and is any answer wrong?

    python -m loadtest.soak --minutes 30

Starts a Valkey and a service on loopback (embedded engine, the demo index, which ``onepass index build stdlib --name
python-docs`` makes). Asks the demo's own questions, open loop with Poisson arrivals, at ``--load`` of the rate that it
measured first, while the Valkey is killed, paused, flushed and filled with rubbish at random, callers leave in the
middle, and requests arrive that are no requests. Every whole answer is compared with one that was made before, alone
and without a cache. Prints a line a minute and the slopes at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from loadtest.serving import service
from service.corpus.beir import BeirFolder
from service.demo import JUDGED
from tests.cache.valkey import Valkey, valkey

CANDIDATES = 30
ALONE = {"Cache-Control": "no-store"}
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass
class Tally:
    """What came back, by kind, and the wrong answers in full."""

    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    worst_ms: float = 0.0


async def _mistreat(server: Valkey) -> str:
    """Do something to the store of answers, for a moment."""
    kind = random.choice(["killed", "paused", "flushed", "rubbish"])
    if kind == "killed":
        server.kill()
        await asyncio.sleep(random.uniform(0, 3))
        await asyncio.to_thread(server.start)
    elif kind == "paused":
        server.pause()
        await asyncio.sleep(random.uniform(0, 3))
        server.resume()
    elif kind == "flushed":
        await asyncio.to_thread(server.client().flushall)
    else:
        await asyncio.to_thread(spoil, server)
    return kind


def spoil(server: Valkey) -> None:
    """Put rubbish in the place of every kept answer."""
    with server.client() as client:
        for key in client.scan_iter("*:answer"):
            client.set(key, "rubbish")


def main() -> None:
    """Run it. The exit status tells whether an answer was wrong."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="onepass-soak-") as folder, valkey(Path(folder)) as server:
        cache = {"ONEPASS_CACHE__KIND": "redis", "ONEPASS_CACHE__URL": server.url, "ONEPASS_CACHE__FRESH_S": "20"}
        with service(cache) as (url, process):
            wrong = asyncio.run(_soak(url, process.pid, server, options))
    sys.exit(bool(wrong))


async def _soak(url: str, pid: int, server: Valkey, options: argparse.Namespace) -> list[str]:
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=httpx.Limits(max_connections=None)) as client:
        texts = list(BeirFolder(JUDGED).queries().values())[: options.questions]
        expected, seconds = await _reference(client, texts)
        rate = options.load / seconds
        print(f"{len(texts)} questions, {seconds * 1000:.0f} ms each alone; asking {rate:.1f} a second", flush=True)
        tally = Tally()
        samples: list[tuple[float, float, int]] = []
        until = time.monotonic() + options.minutes * 60
        async with (
            _in_background(_faults(server, tally, options.fault_s)),
            _in_background(_watch(pid, samples, tally)),
            asyncio.TaskGroup() as asking,
        ):
            while time.monotonic() < until:
                await asyncio.sleep(random.expovariate(rate))
                asking.create_task(_one(client, random.choice(texts), expected, tally))
    _report(samples, tally)
    return tally.wrong


async def _reference(client: httpx.AsyncClient, texts: Sequence[str]) -> tuple[dict[str, list[str]], float]:
    """The order of each question, and the mean seconds it took to make."""
    expected, began = {}, time.monotonic()
    for text in texts:
        answer = (await client.post("/v1/search", json=_body(text), headers=ALONE)).json()
        expected[text] = _order(answer)
    return expected, (time.monotonic() - began) / len(texts)


def _body(text: str) -> dict[str, object]:
    return {"query": text, "candidates": CANDIDATES, "timeout_ms": 5000, "return_documents": False}


def _order(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [result["id"] for result in answer["results"]]


async def _one(client: httpx.AsyncClient, text: str, expected: dict[str, list[str]], tally: Tally) -> None:
    """One caller: most ask and wait, some anew, some leave early, some send what is no request."""
    manner = random.random()
    began = time.monotonic()
    try:
        if manner < 0.02:
            response = await client.post("/v1/search", content=random.randbytes(50))
            tally.kinds[f"rubbish answered {response.status_code}"] += 1
            return
        patience = random.uniform(0, 0.2) if manner < 0.07 else 30
        headers = {"Cache-Control": random.choice(["no-store", "no-cache"])} if manner > 0.5 else {}
        async with asyncio.timeout(patience):
            response = await client.post("/v1/search", json=_body(text), headers=headers)
    except TimeoutError:
        tally.kinds["left" if manner < 0.07 else "no answer in 30 s"] += 1
        return
    except httpx.HTTPError as error:
        tally.kinds[type(error).__name__] += 1
        return
    tally.worst_ms = max(tally.worst_ms, (time.monotonic() - began) * 1000)
    if response.status_code != 200:
        tally.kinds[str(response.status_code)] += 1
        return
    answer = response.json()
    if answer["rerank"]["degraded"]:
        tally.kinds[f"degraded {answer['rerank']['reason']}"] += 1
        return
    tally.kinds[f"whole, {answer['cache']}"] += 1
    if _order(answer) != expected[text]:
        tally.wrong.append(f"{text}: {json.dumps(answer)[:500]}")


async def _faults(server: Valkey, tally: Tally, pause_s: float) -> None:
    while True:
        await asyncio.sleep(random.expovariate(1 / pause_s))
        tally.kinds[f"Valkey {await _mistreat(server)}"] += 1


async def _watch(pid: int, samples: list[tuple[float, float, int]], tally: Tally) -> None:
    """Memory in MB and open files of the service, every ten seconds."""
    for number in itertools.count(1):
        await asyncio.sleep(10)
        samples.append((time.monotonic() / 60, *_held(pid)))
        if number % 6 == 0:
            _, resident, files = samples[-1]
            print(f"{number // 6} min: {resident:.1f} MB, {files} files, {dict(tally.kinds)}", flush=True)


def _held(pid: int) -> tuple[float, int]:
    """Resident megabytes and open files of a process."""
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text().split()[1])
    return pages * PAGE_MB, len(list((process / "fd").iterdir()))


def _report(samples: list[tuple[float, float, int]], tally: Tally) -> None:
    for kind, count in sorted(tally.kinds.items()):
        print(f"{count:8} {kind}")
    print(f"slowest answer {tally.worst_ms:.0f} ms; {len(tally.wrong)} wrong answers")
    later = samples[len(samples) // 3 :]  # caches fill and pools grow in the first third
    if len(later) > 2:
        minutes, resident, files = np.array(later).T
        print(
            f"after the first third: {np.polyfit(minutes, resident, 1)[0]:+.3f} MB and "
            f"{np.polyfit(minutes, files, 1)[0]:+.3f} open files a minute"
        )
    for wrong in tally.wrong[:3]:
        print(wrong)


@contextlib.asynccontextmanager
async def _in_background(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--load", type=float, default=0.8, help="share of what it can rank when nothing is cached")
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--fault-s", type=float, default=10, help="mean pause between faults")
    return parser.parse_args()


if __name__ == "__main__":
    main()
