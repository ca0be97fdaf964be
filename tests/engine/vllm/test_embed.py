"""Vectors of prompts and passages become one cosine for each label, or an error."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from service.deadline import Deadline
from service.engine.scorer import Prompt
from service.engine.vllm.discovery import Needs
from service.engine.vllm.embed import EmbedReading
from service.engine.vllm.reading import Manners, Mode
from service.errors import ConfigurationError, EngineProtocolError
from tests.engine.vllm.gateways import gateway
from tests.engine.vllm.stand_in import LABELS, StandIn, embedding

NEEDS = Needs(LABELS, prompt_tokens=512, embeds=True)
READING = EmbedReading()


def ids(*tokens: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    return np.array(tokens, dtype=np.uint32)


def window(tokens: Sequence[int], *passages: Sequence[int]) -> Prompt:
    return Prompt(ids(*tokens), LABELS[: len(passages)], tuple(ids(*passage) for passage in passages))


def cosines(prompt: Prompt) -> list[float]:
    """What the stand-in's vectors say."""
    query = np.array(embedding(prompt.token_ids.tolist()))
    found = []
    for passage in prompt.passages:
        vector = np.array(embedding(passage.tolist()))
        found.append(float(query @ vector / np.linalg.norm(query) / np.linalg.norm(vector)))
    return found


def answer(*vectors: Sequence[float]) -> dict[str, Any]:
    texts = [base64.b64encode(np.array(vector, dtype="<f4").tobytes()).decode() for vector in vectors]
    return {"data": [{"index": index, "embedding": text} for index, text in enumerate(texts)]}


@pytest.mark.anyio
async def test_each_label_gets_the_cosine_of_its_passage() -> None:
    prompts = [window([1, 2, 3], [4], [5, 6], [7]), window([9, 9], [7], [4])]
    async with StandIn(Mode.EMBED) as server, gateway(server, needs=NEEDS) as scorer:
        answers = await scorer.score(prompts, Deadline.after(5))
    for prompt, values in zip(prompts, answers, strict=True):
        assert values == pytest.approx(cosines(prompt), abs=1e-6)


def test_a_passage_that_several_windows_show_is_embedded_once() -> None:
    prompts = [window([1], [4], [5]), window([2], [5], [4], [6])]
    request = READING.request("mini", prompts, Manners(cache_salt="tenant"))
    assert request["input"] == [[1], [2], [4], [5], [6]]
    assert request["cache_salt"] == "tenant"


def test_a_call_is_as_long_as_all_it_holds() -> None:
    assert window([1, 2, 3], [4], [5, 6]).tokens == 6


@pytest.mark.anyio
async def test_a_server_that_embeds_nothing_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="profiles vllm-args"):
        async with StandIn(Mode.DECODE) as server, gateway(server, needs=NEEDS):
            pass


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (answer([1, 0], [0, 1]), "3 prompts were answered by 2"),
        (answer([1, 0], [0, 1], [1, 1, 1]), "differ in length"),
        (answer([1, 0], [0, 0], [1, 1]), "zero or not finite"),
        (answer([1, 0], [np.nan, 1], [1, 1]), "zero or not finite"),
        (answer([1, 0], [np.inf, 1], [1, 1]), "zero or not finite"),
        (answer([], [], []), "zero or not finite"),
        ({"data": [{"index": 0, "embedding": "no base64!"}] * 1 + answer([], [1], [1])["data"][1:]}, "no base64"),
        ({"data": [{"index": index, "embedding": [1.0, 2.0]} for index in range(3)]}, "no base64"),
        ({"data": [{"index": index} for index in range(3)]}, "embedding"),
        ({"object": "error"}, "data"),
    ],
)
def test_what_are_no_vectors_is_never_an_order(spoilt: dict[str, Any], reason: str) -> None:
    with pytest.raises(EngineProtocolError, match=reason):
        READING.logits(spoilt, [window([1], [4], [5])])
