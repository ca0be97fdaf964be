"""What a kept answer costs: hits of ``/v1/search`` against a bare Starlette route that returns the same bytes.

    python -m loadtest.cache_hits

Starts both servers on loopback, each pinned to the first core, and asks them turn by turn from another one. Needs the
demo index (``onepass index build stdlib --name python-docs``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtest.serving import ready
from loadtest.vllm_servers import free_port
from loadtest.vllm_throughput import Straight, rate

BODY = {"query": "read a csv file into dictionaries"}
PATH = "/v1/search"
SERVER_CORE, CLIENT_CORE = 0, 1


def main() -> None:
    """Print both rates, their ratio, and the median latency of a hit."""
    options = _options()
    os.sched_setaffinity(0, {CLIENT_CORE})
    with _server([str(Path(sys.executable).with_name("onepass")), "serve"]) as gateway:
        for _ in range(2):  # the first makes the answer that the second is given
            answer = httpx.post(gateway + PATH, json=BODY, timeout=60, trust_env=False)
        assert answer.json()["cache"] == "hit"
        with tempfile.NamedTemporaryFile() as same:
            Path(same.name).write_bytes(answer.content)
            with _server([sys.executable, "-m", "loadtest.cache_hits", "--bare", same.name]) as bare:
                asyncio.run(_compare({"bare route": bare, "hit": gateway}, options))


async def _compare(urls: dict[str, str], options: argparse.Namespace) -> None:
    rates: dict[str, list[float]] = {side: [] for side in urls}
    for _ in range(options.rounds):
        for side, url in urls.items():
            rates[side].append(await _rate(url, options.requests, options.concurrency))
    medians = {side: statistics.median(found) for side, found in rates.items()}
    bare, hit = medians.values()
    print(f"{options.concurrency} at once, a second: bare route {bare:.0f}, hit {hit:.0f}; hit / bare {hit / bare:.3f}")
    for side, url in urls.items():
        print(f"one at a time, {side}: median {await _latency(url, options.requests // 4):.3f} ms")


async def _rate(url: str, count: int, concurrency: int) -> float:
    questions: Sequence[object] = [object() for _ in range(count)]
    client = Straight(url, PATH, lambda _: BODY, concurrency)
    client.encode(questions)
    async with client:
        return await rate(client.ask, questions, concurrency)


async def _latency(url: str, count: int) -> float:
    questions = [object() for _ in range(count)]
    client = Straight(url, PATH, lambda _: BODY, 1)
    client.encode(questions)
    taken = []
    async with client:
        for question in questions:
            began = time.perf_counter()
            await client.ask(question)
            taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


@contextmanager
def _server(arguments: Sequence[str]) -> Iterator[str]:
    port = free_port()
    quiet = os.environ | {"ONEPASS_LOGS__LEVEL": "warning"}
    command = [*arguments, "--port", str(port)]
    with subprocess.Popen(command, env=quiet) as process:  # noqa: S603 - our own command
        try:
            os.sched_setaffinity(process.pid, {SERVER_CORE})
            yield ready(f"http://127.0.0.1:{port}", "/livez")
        finally:
            process.terminate()


def _serve_bare(file: Path, port: int) -> None:
    """The least that Starlette can do: read the request's body, send bytes."""
    content = file.read_bytes()

    async def search(request: Request) -> Response:
        await request.body()
        return Response(content, media_type="application/json")

    async def livez(_: Request) -> Response:
        return Response()

    app = Starlette(routes=[Route(PATH, search, methods=["POST"]), Route("/livez", livez)])
    uvicorn.run(app, port=port, log_level="warning", access_log=False, server_header=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--requests", type=int, default=4000, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    if _options().bare:
        _serve_bare(_options().bare, _options().port)
    else:
        main()
