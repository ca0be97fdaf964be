"""The same promises against real vLLM servers, one of each mode (``loadtest/vllm_servers.py`` starts them).

They serve a tiny model with random weights: what it says is exact and means nothing.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import httpx
import numpy as np
import pytest

from loadtest.tiny_model import find, write_model
from loadtest.vllm_reference import ReferenceScorer
from service.deadline import Deadline
from service.domain import Document
from service.engine.scorer import LabelLogits, Prompt
from service.engine.vllm.decode import LABEL_LIMIT
from service.engine.vllm.discovery import Needs
from service.engine.vllm.permutation import Generation
from service.engine.vllm.reading import Manners, Mode
from service.engine.vllm.replica import Policy, ReplicaLost
from service.engine.vllm.scorer import VllmOptions, VllmScorer, connect
from service.engine.vllm.wire import Wire
from service.errors import ConfigurationError, DeadlineExceeded, EngineRejected
from service.observability.spans import Unsampled, within
from service.ranking.prompt import PromptBuilder

MODES = (Mode.DECODE, Mode.HEAD)
EMBED_URL = os.environ.get("TEST_VLLM_EMBED_URL")
URLS: Mapping[Mode, str | None] = {mode: os.environ.get(f"TEST_VLLM_{mode.upper()}_URL") for mode in MODES}

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.needs("vllm"),
    pytest.mark.skipif(None in URLS.values(), reason="needs vllm: TEST_VLLM_DECODE_URL and TEST_VLLM_HEAD_URL"),
]

PROFILE = find()
PATIENT = Policy(attempt_s=60, admission_s=60, probe_s=20)
BOTH = pytest.mark.parametrize("mode", MODES)
BFLOAT16 = 2**-6
"""Largest difference between two ways to compute a value in bfloat16, which keeps 8 bits, as a share of the largest."""


@pytest.fixture(scope="module")
def needs() -> Needs:
    return Needs(PromptBuilder(PROFILE).label_ids, prompt_tokens=1700, model=PROFILE.name)


def windows(needs: Needs, *sizes: int, seed: int = 7) -> list[Prompt]:
    """Prompts of random words, one for each number of labels, some as long as a full window."""
    random = np.random.default_rng(seed)
    return [
        Prompt(random.integers(1000, 6000, 40 + 80 * size).astype(np.uint32), needs.label_ids[:size]) for size in sizes
    ]


def url(mode: Mode) -> str:
    return URLS[mode] or ""


@asynccontextmanager
async def gateway(needs: Needs, *urls: str, policy: Policy = PATIENT) -> AsyncIterator[VllmScorer]:
    scorer = await connect(VllmOptions(urls, policy=policy), needs)
    try:
        yield scorer
    finally:
        await scorer.close()


@BOTH
async def test_what_it_serves_is_found_out(needs: Needs, mode: Mode) -> None:
    async with gateway(needs, url(mode)) as scorer:
        served = scorer.served[url(mode)]
        assert served.reading.mode is mode
        assert served.card.name == PROFILE.name
        assert await scorer.ready()


@BOTH
async def test_the_servers_own_tokenizer_spells_labels_and_passages_alike(needs: Needs, mode: Mode) -> None:
    builder = PromptBuilder(PROFILE)
    text = "A bare repository, 1999: naïve café \u2603."
    (passage,) = builder.encode([Document("0", text)])
    async with httpx.AsyncClient(base_url=url(mode)) as client:

        async def tokens(prompt: str) -> list[int]:
            body = {"model": PROFILE.name, "prompt": prompt, "add_special_tokens": False}
            found: list[int] = (await client.post("/tokenize", json=body)).json()["tokens"]
            return found

        assert await tokens(" ".join(PROFILE.labels)) == list(needs.label_ids)
        shown = await tokens(text)
        assert shown == passage.ids[: len(shown)].tolist()


async def test_both_modes_read_the_logits_of_the_model(needs: Needs, tmp_path: Path) -> None:
    prompts = windows(needs, 20, 20, 10, 3, 2)
    answers = [await ReferenceScorer(write_model(PROFILE, tmp_path)).score(prompts, Deadline.never())]
    for mode in MODES:
        async with gateway(needs, url(mode)) as scorer:
            answers.append(await scorer.score(prompts, Deadline.after(60)))
    largest = max(abs(value) for expected in answers[0] for value in expected)
    assert np.ptp(answers[0][0]) > 10 * BFLOAT16 * largest
    for expected, decoded, pooled in zip(*answers, strict=True):
        assert np.abs(centred(decoded) - centred(expected)).max() < BFLOAT16 * largest
        assert np.abs(centred(pooled) - centred(expected)).max() < BFLOAT16 * largest


def centred(logits: LabelLogits) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Less their mean: decoding tells log probabilities, of which only differences count."""
    found: np.ndarray[Any, np.dtype[np.float64]] = np.array(logits) - np.mean(logits)
    return found


@BOTH
async def test_the_server_is_told_the_span_it_works_for(
    needs: Needs, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Mapping[str, str]] = []
    request = aiohttp.ClientSession.request

    def noting(session: aiohttp.ClientSession, method: str, url: str, **given: Any) -> Any:
        sent.append(given["headers"])
        return request(session, method, url, **given)

    monkeypatch.setattr(aiohttp.ClientSession, "request", noting)
    async with gateway(needs, url(mode)) as scorer:
        span = Unsampled()
        with within(span):
            await scorer.score(windows(needs, 2), Deadline.after(60))
    assert span.headers["traceparent"] in [headers.get("traceparent") for headers in sent]


@BOTH
async def test_a_prompt_is_answered_alike_alone_and_in_company(needs: Needs, mode: Mode) -> None:
    prompts = windows(needs, 20, 5, 2, 12)
    async with gateway(needs, url(mode)) as scorer:
        together = await scorer.score(prompts, Deadline.after(60))
        for prompt, logits in zip(prompts, together, strict=True):
            [alone] = await scorer.score([prompt], Deadline.after(60))
            assert alone == pytest.approx(logits, abs=BFLOAT16 * np.abs(logits).max())


@pytest.mark.parametrize("labels", [2, 20, 26, 64, 100, LABEL_LIMIT])
async def test_no_label_is_ever_missing(labels: int) -> None:
    """Any tokens may be labels for decoding; the head's are those it was exported with."""
    many = Needs(tuple(range(1000, 1000 + labels)), prompt_tokens=1700)
    async with gateway(many, url(Mode.DECODE)) as scorer:
        [logits] = await scorer.score(windows(many, min(labels, 20)), Deadline.after(60))
        [everything] = await scorer.score(
            [Prompt(np.arange(5, 50, dtype=np.uint32), many.label_ids)], Deadline.after(60)
        )
        assert len(logits) == min(labels, 20)
        assert len(everything) == labels


@BOTH
@pytest.mark.parametrize(
    ("change", "flag"),
    [({"prompt_tokens": 4000}, "--max-model-len 4001"), ({"model": "other"}, "--served-model-name other")],
)
async def test_what_cannot_work_is_refused_with_the_flag(
    needs: Needs, mode: Mode, change: dict[str, object], flag: str
) -> None:
    with pytest.raises(ConfigurationError, match=flag):
        async with gateway(replace(needs, **change), url(mode)):  # type: ignore[arg-type]
            pass


async def test_more_labels_than_a_server_has_are_refused(needs: Needs) -> None:
    with pytest.raises(ConfigurationError, match="--runner pooling"):
        async with gateway(replace(needs, label_ids=tuple(range(LABEL_LIMIT + 1))), url(Mode.DECODE)):
            pass
    with pytest.raises(ConfigurationError, match="20 outputs, the profile 19 labels"):
        async with gateway(replace(needs, label_ids=needs.label_ids[:19]), url(Mode.HEAD)):
            pass


@BOTH
async def test_what_vllm_refuses_is_rejected(needs: Needs, mode: Mode) -> None:
    async with gateway(needs, url(mode)) as scorer:
        reading = scorer.served[url(mode)].reading
    wire = Wire()
    too_long = Prompt(np.full(3000, 7, dtype=np.uint32), needs.label_ids)
    with pytest.raises(EngineRejected):
        await wire.post(url(mode), reading.path, reading.request(PROFILE.name, [too_long], Manners()))
    with pytest.raises(ReplicaLost):
        await wire.post(url(mode), reading.path, reading.request("other", windows(needs, 2), Manners()))
    await wire.close()


@BOTH
async def test_a_salt_is_accepted(needs: Needs, mode: Mode) -> None:
    scorer = await connect(VllmOptions((url(mode),), manners=Manners(cache_salt="tenant"), policy=PATIENT), needs)
    assert len(await scorer.score(windows(needs, 3), Deadline.after(60))) == 1
    await scorer.close()


@BOTH
async def test_work_whose_deadline_passed_is_aborted(needs: Needs, mode: Mode) -> None:
    """Most of the prompt tokens are never computed."""
    prompts = windows(needs, *[20] * 40)
    async with gateway(needs, url(mode)) as scorer:
        before = await _metric(url(mode), "prompt_tokens_total")
        with pytest.raises(DeadlineExceeded):
            await scorer.score(prompts, Deadline.after(0.05))
        await _rest(url(mode))
        computed = await _metric(url(mode), "prompt_tokens_total") - before
        assert computed < sum(len(prompt.token_ids) for prompt in prompts) / 2


@BOTH
async def test_a_connection_cut_in_the_middle_loses_nothing(needs: Needs, mode: Mode) -> None:
    prompts = windows(needs, *[20] * 40, seed=time.time_ns())  # none of them in a cache of prefixes
    async with _Proxy(url(mode)) as proxy, gateway(needs, proxy.url) as scorer:
        call = asyncio.create_task(scorer.score(prompts, Deadline.after(60)))
        await asyncio.sleep(0.05)
        assert not call.done()
        proxy.cut()
        assert len(await call) == 40


async def test_an_order_is_generated_in_the_form_asked_for(needs: Needs) -> None:
    """The model was never taught to write, but its server keeps it to the form: there is nothing but identifiers."""
    generation = Generation(tuple(f"[{number}]" for number in range(1, 21)), max_tokens=40, separator=">")
    room = replace(needs, label_ids=needs.label_ids[:20], generation=generation, prompt_tokens=1600)
    async with gateway(room, url(Mode.DECODE)) as scorer:
        answers = await scorer.score(windows(needs, 3, 4), Deadline.after(60))
    assert [sorted(answer) for answer in answers] == [[-2, -1, 0], [-3, -2, -1, 0]]


@pytest.mark.needs("vllm")
@pytest.mark.skipif(EMBED_URL is None, reason="needs vllm: TEST_VLLM_EMBED_URL")
async def test_vectors_are_compared_as_they_are_embedded_one_by_one(needs: Needs) -> None:
    random = np.random.default_rng(3)
    passages = [random.integers(1000, 6000, 30).astype(np.uint32) for _ in range(3)]
    shown = [
        Prompt(np.concatenate(each), needs.label_ids[: len(each)], tuple(each)) for each in (passages, passages[1:])
    ]
    embeds = Needs(needs.label_ids, prompt_tokens=1700, model=PROFILE.name, embeds=True)
    async with gateway(embeds, EMBED_URL or "") as scorer:
        answers = await scorer.score(shown, Deadline.after(60))
    async with httpx.AsyncClient(base_url=EMBED_URL or "", trust_env=False, timeout=60) as client:

        async def vector(tokens: np.ndarray[Any, np.dtype[np.uint32]]) -> np.ndarray[Any, np.dtype[np.float64]]:
            body = {"model": PROFILE.name, "input": tokens.tolist()}
            return np.array((await client.post("/v1/embeddings", json=body)).json()["data"][0]["embedding"])

        for prompt, values in zip(shown, answers, strict=True):
            query = await vector(prompt.token_ids)
            alone = [await vector(passage) for passage in prompt.passages]
            assert np.linalg.norm(query) == pytest.approx(1, abs=1e-3)
            assert values == pytest.approx([float(query @ each) for each in alone], abs=0.02)


async def _rest(server: str) -> None:
    """Wait until a server has nothing to do."""
    for _ in range(600):
        if not await _metric(server, "num_requests_"):
            return
        await asyncio.sleep(0.05)


async def _metric(server: str, name: str) -> float:
    """The sum of a server's metrics whose names begin like this."""
    async with httpx.AsyncClient(trust_env=False) as client:
        lines = (await client.get(f"{server}/metrics")).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"vllm:{name}"))


class _Proxy:
    """Passes bytes on to a server until it is told to cut its connections."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(*self._target)
        self._writers |= {writer, onward}
        await asyncio.gather(_pass(reader, onward), _pass(there, writer))
        self._writers -= {writer, onward}


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
