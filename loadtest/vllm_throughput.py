"""What the way through our scorer costs, and what each way of asking costs, on the same vLLM servers.

    python -m loadtest.vllm_throughput --decode http://127.0.0.1:8101 --head http://127.0.0.1:8102

Windows of 20 passages of random tokens, never the same one twice, so no prefix cache helps. Each comparison alternates
its two sides, round by round, and compares medians. The straight side is as tight as a client can be: requests encoded
beforehand, bare connections kept open, answers read but not parsed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np

from loadtest.tiny_model import NAME, find
from service.deadline import Deadline
from service.engine.scorer import Prompt
from service.engine.vllm.decode import DecodeReading
from service.engine.vllm.discovery import GENERATED, Needs
from service.engine.vllm.head import HeadReading
from service.engine.vllm.reading import Manners, Reading
from service.engine.vllm.scorer import VllmOptions, VllmScorer, connect
from service.ranking.prompt import PromptBuilder

Ask = Callable[[Any], Awaitable[object]]


class Windows:
    """An endless supply of prompts, each of ``tokens`` random tokens and all labels."""

    def __init__(self, label_ids: tuple[int, ...], tokens: int, vocabulary: int) -> None:
        self._random = np.random.default_rng()
        self._label_ids, self._tokens, self._vocabulary = label_ids, tokens, vocabulary

    def take(self, count: int) -> list[Prompt]:
        """So many that were never taken before."""
        ids = self._random.integers(self._vocabulary // 4, self._vocabulary, (count, self._tokens))
        return [Prompt(row.astype(np.uint32), self._label_ids) for row in ids]


class Straight:
    """Bare HTTP/1.1 over ``most`` kept-alive connections; ``body`` makes the request of what is asked."""

    def __init__(self, url: str, path: str, body: Callable[[Any], dict[str, Any]], most: int) -> None:
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self._path, self._body, self.most = path, body, most
        self._encoded: dict[int, bytes] = {}
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        for _ in range(self.most):
            self._free.put_nowait(await asyncio.open_connection(self._host, self._port))
        return self

    async def __aexit__(self, *_: object) -> None:
        while not self._free.empty():
            self._free.get_nowait()[1].close()

    def encode(self, prompts: Sequence[object]) -> None:
        """Make the requests of these, outside any measured time."""
        for prompt in prompts:
            body = json.dumps(self._body(prompt), separators=(",", ":")).encode()
            head = f"POST {self._path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
            self._encoded[id(prompt)] = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def ask(self, prompt: object) -> bytes:
        """The answer's bytes."""
        reader, writer = connection = await self._free.get()
        writer.write(self._encoded.pop(id(prompt)))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        answer = await reader.readexactly(length)
        self._free.put_nowait(connection)
        if not head.startswith(b"http/1.1 200"):
            raise SystemExit(answer.decode())
        return answer


async def main() -> None:
    """Print every comparison."""
    options = _options()
    profile = find(options.profile)
    label_ids = PromptBuilder(profile).label_ids
    windows = Windows(label_ids, options.tokens, 6000)
    needs = Needs(label_ids, profile.context_tokens - GENERATED)
    readings: list[tuple[str, Reading]] = [(options.decode, DecodeReading()), (options.head, HeadReading(label_ids))]
    rates = {}
    for url, reading in readings:
        rates[reading.mode] = await _through_and_straight(url, reading, profile.name, needs, windows, options)
    print(f"head over decode, straight: {rates[readings[1][1].mode] / rates[readings[0][1].mode]:.2f}")
    await written_or_one_token(options, profile.name, windows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decode", required=True, help="URL of a server of that mode")
    parser.add_argument("--head", required=True)
    parser.add_argument("--profile", default=NAME)
    parser.add_argument(
        "--tokens", type=int, default=1666, help="tokens of a window; those of 20 passages of 78 by default"
    )
    parser.add_argument("--concurrency", type=int, default=16, help="windows under way at saturation")
    parser.add_argument("--windows", type=int, default=64, help="windows in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--generated", type=int, default=20, help="tokens of a written order, one a label at the least")
    return parser.parse_args()


async def _through_and_straight(
    url: str, reading: Reading, model: str, needs: Needs, windows: Windows, options: argparse.Namespace
) -> float:
    """Compare our scorer with the straight client on one server; the straight client's windows a second."""

    def straight(most: int) -> Straight:
        return Straight(url, reading.path, lambda prompt: reading.request(model, [prompt], Manners()), most)

    scorer = await connect(VllmOptions((url,)), needs)
    through = _through(scorer)
    most = options.concurrency
    await rate(through, windows.take(most), most)  # warm up
    rates: dict[str, list[float]] = {"straight": [], "through": []}
    for _ in range(options.rounds):
        rates["straight"].append(await straight_rate(straight(most), windows.take(options.windows)))
        rates["through"].append(await rate(through, windows.take(options.windows), most))
    medians = {side: statistics.median(values) for side, values in rates.items()}
    ratio = medians["through"] / medians["straight"]
    print(f"{reading.mode}: {most} at once, windows/s {_shown(rates)}; through / straight {ratio:.3f}")
    async with straight(1) as alone:
        latencies = await _latencies(alone, through, windows, options.rounds * 10)
    added = latencies["through"] - latencies["straight"]
    print(
        f"{reading.mode}: one at a time, median ms: straight {latencies['straight']:.2f}, "
        f"through {latencies['through']:.2f}, added {added:.2f}",
        flush=True,
    )
    await scorer.close()
    return medians["straight"]


async def written_or_one_token(options: argparse.Namespace, model: str, windows: Windows) -> dict[str, float]:
    """Compare reading one token's labels with generating an order, on the decode server; windows a second of each."""
    reading = DecodeReading()

    def one(prompt: Prompt) -> dict[str, Any]:
        return reading.request(model, [prompt], Manners())

    def written(prompt: Prompt) -> dict[str, Any]:
        return {
            "model": model,
            "prompt": prompt.token_ids.tolist(),
            "max_tokens": options.generated,
            "temperature": 0,
            "allowed_token_ids": list(prompt.label_ids),
            "ignore_eos": True,
        }

    rates: dict[str, list[float]] = {"one token": [], f"{options.generated} tokens": []}
    for _ in range(options.rounds):
        for side, body in zip(rates, (one, written), strict=True):
            straight = Straight(options.decode, reading.path, body, options.concurrency)
            rates[side].append(await straight_rate(straight, windows.take(options.windows)))
    single, generated = (statistics.median(values) for values in rates.values())
    print(
        f"one token or a written order, windows/s {_shown(rates)}; one / written {single / generated:.2f}", flush=True
    )
    return {"decode": single, "permutation": generated}


def _through(scorer: VllmScorer) -> Ask:
    async def ask(prompt: Prompt) -> object:
        return await scorer.score([prompt], Deadline.after(120))

    return ask


async def rate(ask: Ask, prompts: Sequence[object], concurrency: int) -> float:
    """Windows a second with so many under way."""
    waiting = iter(prompts)

    async def caller() -> None:
        for prompt in waiting:
            await ask(prompt)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return len(prompts) / (time.perf_counter() - began)


async def straight_rate(straight: Straight, prompts: Sequence[Prompt]) -> float:
    """``rate`` over connections opened, and requests encoded, beforehand."""
    straight.encode(prompts)
    async with straight:
        return await rate(straight.ask, prompts, straight.most)


async def _latencies(straight: Straight, through: Ask, windows: Windows, count: int) -> dict[str, float]:
    """Median milliseconds of one call, the two sides taking turns."""
    taken: dict[str, list[float]] = {"straight": [], "through": []}
    for prompt, other in zip(windows.take(count), windows.take(count), strict=True):
        straight.encode([prompt])
        for side, ask, asked in (("straight", straight.ask, prompt), ("through", through, other)):
            began = time.perf_counter()
            await ask(asked)
            taken[side].append((time.perf_counter() - began) * 1000)
    return {side: statistics.median(values) for side, values in taken.items()}


def _shown(rates: dict[str, list[float]]) -> str:
    return ", ".join(
        f"{side} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
        for side, values in rates.items()
    )


if __name__ == "__main__":
    asyncio.run(main())
