"""What the gateway adds to one request at a time, beside the least that its HTTP libraries add.

    python -m loadtest.added_latency

A server that speaks vLLM and answers at once is asked turn by turn: straight; through ``bare_proxy.py``, which passes
one prepared prompt on and does nothing else; and through the gateway, which reads twenty documents of the demo corpus,
tokenises a hundred tokens of each, builds the prompt and makes an answer of the logits. All on loopback. What each way
does first is not counted: a gateway remembers the words that it has read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

from loadtest.gateway_throughput import Asked, Supply
from loadtest.serving import ready, service
from loadtest.tiny_model import NAME, find
from loadtest.vllm_servers import free_port
from loadtest.vllm_throughput import Straight
from service.engine.vllm.decode import DecodeReading
from service.engine.vllm.discovery import GENERATED
from service.engine.vllm.reading import Manners, Mode
from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder
from tests.engine.vllm.stand_in import StandIn

PASSAGES, TOKENS, WORDS = 20, 100, 52
TURN, WARM_UP = 50, 5
READING = DecodeReading()


async def main() -> None:
    """Print the median of each way, and what each adds to the straight one."""
    options = _options()
    usual = find()
    context = usual.context_tokens + PASSAGES * (TOKENS - usual.passage_tokens)
    shape = {"name": "twenty", "window": PASSAGES, "passage_tokens": TOKENS, "context_tokens": context}
    profile = usual.model_copy(update=shape)
    supply = Supply(PromptBuilder(profile), WORDS)
    engine, others = StandIn(Mode.DECODE, model=profile.model, context=context + GENERATED), ExitStack()
    await engine.start()
    try:
        gateway = await asyncio.to_thread(others.enter_context, _gateway(engine.url, profile))
        proxy = await asyncio.to_thread(others.enter_context, _proxy(engine.url, supply.take(1)[0]))
        ways = {
            "straight": Straight(engine.url, READING.path, _prompt, 1),
            "bare proxy": Straight(proxy, "/v1/rerank", _documents, 1),
            "gateway": Straight(gateway, "/v1/rerank", _documents, 1),
        }
        medians = await _medians(ways, supply, options.requests)
    finally:
        await asyncio.to_thread(others.close)
        await engine.kill()
    for way, median in medians.items():
        print(f"{way:10} {median:6.2f} ms, adds {median - medians['straight']:5.2f}")


async def _medians(ways: dict[str, Straight], supply: Supply, requests: int) -> dict[str, float]:
    """Milliseconds of a request by each way, asked one after the other in turns, of which the first warm up."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    async with AsyncExitStack() as open_connections:
        for client in ways.values():
            await open_connections.enter_async_context(client)
        for turn in range(WARM_UP + -(-requests // TURN)):
            asked = supply.take(TURN)
            for way, client in ways.items():
                client.encode(asked)
                found = [await _milliseconds(client, each) for each in asked]
                taken[way].extend(found if turn >= WARM_UP else [])
    return {way: statistics.median(found) for way, found in taken.items()}


async def _milliseconds(client: Straight, asked: Asked) -> float:
    began = time.perf_counter()
    await client.ask(asked)
    return (time.perf_counter() - began) * 1000


def _documents(asked: Asked) -> dict[str, object]:
    return asked.body


def _prompt(asked: Asked) -> dict[str, object]:
    return READING.request(NAME, [asked.prompt], Manners())


@contextmanager
def _gateway(engine: str, profile: Profile) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{profile.name}.yaml").write_text(profile.model_dump_json(exclude_none=True))
        settings = {
            "ONEPASS_ENGINE__KIND": "vllm",
            "ONEPASS_ENGINE__URLS": json.dumps([engine]),
            "ONEPASS_CACHE__KIND": "off",
            "ONEPASS_RANKING__PROFILE": profile.name,
            "ONEPASS_RANKING__PROFILES_DIRECTORY": folder,
        }
        with service(settings) as (url, _):
            yield url


@contextmanager
def _proxy(engine: str, asked: Asked) -> Iterator[str]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "request.json"
        prepared.write_text(json.dumps(_prompt(asked)))
        command = [sys.executable, "-m", "loadtest.bare_proxy", "--prepared", str(prepared)]
        command += ["--to", engine + READING.path, "--port", str(port)]
        with subprocess.Popen(command) as process:  # noqa: S603 - our own command
            try:
                yield ready(f"http://127.0.0.1:{port}", "/openapi.json")
            finally:
                process.terminate()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
