"""Generated orders are read strictly, repaired by one rule, and counted."""

from __future__ import annotations

import re

import numpy as np
import pytest

from service.deadline import Deadline
from service.engine.scorer import Prompt
from service.engine.vllm.discovery import Needs
from service.engine.vllm.permutation import Generation, PermutationReading
from service.engine.vllm.reading import Manners, Mode
from service.errors import ConfigurationError, EngineProtocolError
from service.observability.events import Event, PermutationRepaired
from tests.engine.vllm.faults import replying, spoiling
from tests.engine.vllm.gateways import gateway
from tests.engine.vllm.stand_in import LABELS, StandIn, prompt

IDENTIFIERS = tuple(f"[{number}]" for number in range(1, 5))
PLAIN = Generation(IDENTIFIERS, max_tokens=30)


def read(text: object, generation: Generation = PLAIN, labels: int = 4) -> tuple[list[int], list[Event]]:
    """The passages in the order read, from 1, and what was noted on the way."""
    events: list[Event] = []
    reading = PermutationReading(LABELS, generation, events.append)
    answer = {"choices": [{"index": 0, "text": text}]}
    [values] = reading.logits(answer, [prompt(1, labels=labels)])
    return [int(position) + 1 for position in np.argsort(values)[::-1]], events


@pytest.mark.parametrize("text", ["[3] > [1] > [4] > [2]", "  [3]>[1]>[4]>[2]\n", "[ 3 ] > [ 1 ] > [ 4 ] > [ 2 ]"])
def test_a_permutation_is_read_as_it_stands(text: str) -> None:
    assert read(text) == ([3, 1, 4, 2], [])


@pytest.mark.parametrize(
    ("text", "order", "missing", "surplus", "trailing"),
    [
        ("[3] > [1]", [3, 1, 2, 4], 2, 0, False),  # the others follow as they were shown
        ("[3] > [1] > [3] > [3]", [3, 1, 2, 4], 2, 2, False),  # the first mention counts
        ("[4] > [3] > [2] > [1] > [2]", [4, 3, 2, 1], 0, 1, False),
        ("[4] > [3] > [2] > [1]. I hope this helps, see [9]", [4, 3, 2, 1], 0, 0, True),
        ("[2] > [1", [2, 1, 3, 4], 3, 0, True),  # cut off by its token limit
        ("[2], [1]", [2, 1, 3, 4], 3, 0, True),
    ],
)
def test_what_is_no_permutation_is_repaired_and_counted(
    text: str, order: list[int], missing: int, surplus: int, trailing: bool
) -> None:
    assert read(text) == (order, [PermutationRepaired(missing, surplus, trailing)])


def test_an_identifier_that_was_not_shown_is_dropped() -> None:
    assert read("[4] > [2] > [1] > [3]", labels=3) == ([2, 1, 3], [PermutationRepaired(0, 1, False)])


@pytest.mark.parametrize(
    "text", ["", "The order is [3] > [1]", "rate limit: try [3] of [7]", "3 > 1 > 2", "[5] > [1]", "> [1]", None, 3]
)
def test_what_does_not_begin_as_an_order_never_becomes_one(text: object) -> None:
    with pytest.raises(EngineProtocolError):
        read(text)


def test_an_identifier_that_begins_like_another_is_told_apart() -> None:
    assert read("11 > 1 > 2 > 12", Generation(("1", "2", "11", "12"), max_tokens=30)) == ([3, 1, 2, 4], [])


def test_only_what_follows_the_thinking_is_read() -> None:
    thinking = Generation(IDENTIFIERS, max_tokens=3000, thinking_end="</think>")
    assert read("<think>[1] > [2] looks right, no</think>\n[2] > [1] > [3] > [4]", thinking) == ([2, 1, 3, 4], [])
    with pytest.raises(EngineProtocolError, match="did not end"):
        read("<think>[1] > [2] > [3] > [4]", thinking)


def test_the_form_asked_for_fits_an_order_of_that_many() -> None:
    request = PermutationReading(LABELS, PLAIN, print).request("m", [prompt(1, 2, labels=3)], Manners())
    form = request["structured_outputs"]["regex"]
    assert re.fullmatch(form, "[2] > [3] > [1]")
    for wrong in ("[2] > [3]", "[2] > [3] > [1] > [2]", "[2] > [3] > [4]", "[2][3][1]"):
        assert not re.fullmatch(form, wrong)
    assert (request["temperature"], request["max_tokens"], request["prompt"]) == (0, 30, [[1, 2]])


def test_a_thinking_model_is_not_constrained() -> None:
    thinking = Generation(IDENTIFIERS, max_tokens=3000, thinking_end="</think>")
    assert "structured_outputs" not in PermutationReading(LABELS, thinking, print).request("m", [prompt(1)], Manners())


@pytest.mark.anyio
async def test_a_scorer_reads_orders_like_any_logits() -> None:
    events: list[Event] = []
    needs = Needs(LABELS, 512, generation=PLAIN)
    backwards = Prompt(np.array([1], dtype=np.uint32), LABELS[::-1])
    async with StandIn() as server, gateway(server, needs=needs, events=events) as scorer:
        assert scorer.served[server.url].reading.mode is Mode.PERMUTATION
        server.fault = spoiling(lambda answer: answer["choices"][0].update(text="[3] > [1] > [2] > [4]"))
        assert await scorer.score([prompt(1)], Deadline.after(5)) == [(-1, -2, 0, -3)]
        assert await scorer.score([backwards], Deadline.after(5)) == [(-3, 0, -2, -1)]
        server.fault = replying(b'{"model": "mini", "choices": [{"index": 0, "text": "try [3] of [7]"}]}')
        with pytest.raises(EngineProtocolError):
            await scorer.score([prompt(1)], Deadline.after(5))


@pytest.mark.anyio
async def test_what_is_generated_needs_room_in_the_context() -> None:
    async with StandIn(context=540) as server:
        with pytest.raises(ConfigurationError, match="--max-model-len 542"):
            async with gateway(server, needs=Needs(LABELS, 512, generation=PLAIN)):
                pass
