"""What the whole gateway costs: windows through ``/v1/rerank`` against the same prompts sent straight to vLLM.

    python -m loadtest.gateway_throughput --server http://127.0.0.1:8101

Starts a gateway of its own on loopback over that server. Each window is a query and 20 documents, stretches of the demo
corpus from anywhere in it; its prompt, which the gateway makes of it, is made beforehand for the straight side. Both
sides use the same bare client (``vllm_throughput.Straight``), turn by turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from dataclasses import dataclass
from typing import Any

from loadtest.serving import service
from loadtest.tiny_model import NAME, SERVED_WITH, find
from loadtest.vllm_throughput import Straight, rate
from service.corpus.stdlib_docs import StdlibDocs
from service.domain import Document
from service.engine.scorer import Prompt
from service.engine.vllm.decode import DecodeReading
from service.engine.vllm.head import HeadReading
from service.engine.vllm.reading import Manners, Reading
from service.ranking.prompt import PromptBuilder


@dataclass(frozen=True, eq=False)
class Asked:
    """One window, as a caller of the gateway sends it and as the model is given it."""

    body: dict[str, Any]
    prompt: Prompt


class Supply:
    """Windows without end, of documents of ``words`` words."""

    def __init__(self, builder: PromptBuilder, words: int) -> None:
        self._builder, self._words = builder, words
        self._corpus = [word for document in StdlibDocs().documents() for word in document.text.split()]
        self._dice = random.Random()

    def take(self, count: int) -> list[Asked]:
        """So many, of which hardly two will ever be alike."""
        return [self._one() for _ in range(count)]

    def _one(self) -> Asked:
        query, texts = self._text(8), [self._text(self._words) for _ in range(self._builder.profile.window)]
        passages = self._builder.encode([Document(str(number), text) for number, text in enumerate(texts)])
        prompt = self._builder.build(self._builder.query_ids(query), [passage.ids for passage in passages])
        rerank = {"strategy": "single"}
        return Asked({"query": query, "documents": texts, "rerank": rerank, "timeout_ms": 60_000}, prompt)

    def _text(self, words: int) -> str:
        start = self._dice.randrange(len(self._corpus) - words)
        return " ".join(self._corpus[start : start + words])


async def main() -> None:
    """Print rates at saturation and the latency that the gateway adds."""
    options = _options()
    builder = PromptBuilder(find(options.profile))
    supply = Supply(builder, options.words)
    tokens = statistics.mean(len(asked.prompt.token_ids) for asked in supply.take(20))
    reading: Reading = HeadReading(builder.label_ids) if options.head else DecodeReading()
    gateway = {
        "ONEPASS_ENGINE__KIND": "vllm",
        "ONEPASS_ENGINE__URLS": json.dumps([options.server]),
        **SERVED_WITH,
        "ONEPASS_RANKING__PROFILE": options.profile,
    }
    with service(gateway) as (url, _):

        def client(side: str, most: int) -> Straight:
            if side == "gateway":
                return Straight(url, "/v1/rerank", lambda asked: asked.body, most)
            name = builder.profile.name
            return Straight(
                options.server, reading.path, lambda asked: reading.request(name, [asked.prompt], Manners()), most
            )

        print(f"{reading.mode}: windows of {tokens:.0f} tokens")
        await _saturated(client, supply, options)
        await _alone(client, supply, options.rounds * 10)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="URL of a vLLM server")
    parser.add_argument("--head", action="store_true", help="it serves the identifier head")
    parser.add_argument("--profile", default=NAME)
    parser.add_argument("--words", type=int, default=40, help="words of a document, about two tokens each")
    parser.add_argument("--concurrency", type=int, default=16, help="windows under way at saturation")
    parser.add_argument("--windows", type=int, default=64, help="windows in a round")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


async def _saturated(client: Any, supply: Supply, options: argparse.Namespace) -> None:
    rates: dict[str, list[float]] = {"straight": [], "gateway": []}
    for number in range(options.rounds + 1):
        for side, found in rates.items():
            windows, caller = supply.take(options.windows), client(side, options.concurrency)
            caller.encode(windows)
            async with caller:
                measured = await rate(caller.ask, windows, options.concurrency)
            if number:  # the first round warms up
                found.append(measured)
    medians = {side: statistics.median(found) for side, found in rates.items()}
    ratio = medians["gateway"] / medians["straight"]
    print(
        f"{options.concurrency} at once, windows/s: straight {medians['straight']:.2f}, "
        f"gateway {medians['gateway']:.2f}; gateway / straight {ratio:.3f}",
        flush=True,
    )


async def _alone(client: Any, supply: Supply, count: int) -> None:
    taken: dict[str, list[float]] = {"straight": [], "gateway": []}
    async with client("straight", 1) as straight, client("gateway", 1) as gateway:
        for asked, other in zip(supply.take(count), supply.take(count), strict=True):
            for side, caller, window in (("straight", straight, asked), ("gateway", gateway, other)):
                caller.encode([window])
                began = time.perf_counter()
                await caller.ask(window)
                taken[side].append((time.perf_counter() - began) * 1000)
    medians = {side: statistics.median(found) for side, found in taken.items()}
    print(
        f"one at a time, median ms: straight {medians['straight']:.2f}, gateway {medians['gateway']:.2f},"
        f" added {medians['gateway'] - medians['straight']:.2f}"
    )


if __name__ == "__main__":
    asyncio.run(main())
