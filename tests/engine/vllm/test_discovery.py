"""What a server serves is found out, and what cannot work is refused with the flag to set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.deadline import Deadline
from service.engine.scorer import Prompt
from service.engine.vllm.discovery import Card, Needs
from service.engine.vllm.reading import Manners, Mode
from service.engine.vllm.scorer import VllmOptions, connect
from service.errors import ConfigurationError, EngineError, EngineProtocolError, EngineRejected
from tests.engine.vllm.faults import replying, spoiling
from tests.engine.vllm.gateways import gateway
from tests.engine.vllm.stand_in import LABELS, MODES, Fault, StandIn, expected, prompt

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mode", MODES)
async def test_the_mode_is_found_out(mode: Mode) -> None:
    async with StandIn(mode) as server, gateway(server) as scorer:
        served = scorer.served[server.url]
        assert (served.reading.mode, served.version) == (mode, "0.0")
        assert served.card == Card("mini", "/models/mini", 2048)


@pytest.mark.parametrize("mode", MODES)
async def test_a_mode_asked_for_and_not_served_is_refused(mode: Mode) -> None:
    other = Mode.HEAD if mode is Mode.DECODE else Mode.DECODE
    async with StandIn(mode) as server:
        with pytest.raises(ConfigurationError, match=f"--mode {other}"):
            async with gateway(server, needs=Needs(LABELS, 512, mode=other)):
                pass


async def test_another_model_than_the_one_named_is_refused() -> None:
    async with StandIn() as server:
        with pytest.raises(ConfigurationError, match=r"serves mini, not first: .*--served-model-name first"):
            async with gateway(server, needs=Needs(LABELS, 512, model="first")):
                pass


async def test_a_context_with_no_room_for_the_generated_token_is_refused() -> None:
    async with StandIn(context=512) as server:
        with pytest.raises(ConfigurationError, match="--max-model-len 513"):
            async with gateway(server, needs=Needs(LABELS, 512)):
                pass
        async with gateway(server, needs=Needs(LABELS, 511)) as scorer:
            assert await scorer.ready()


async def test_more_labels_than_decoding_gives_are_refused() -> None:
    async with StandIn() as server:
        with pytest.raises(ConfigurationError, match=r"at most 128 labels.*--runner pooling"):
            async with gateway(server, needs=Needs(tuple(range(129)), 512)):
                pass


async def test_a_head_of_another_size_is_refused() -> None:
    async with StandIn(Mode.HEAD) as server:
        with pytest.raises(ConfigurationError, match="4 outputs, the profile 3 labels"):
            async with gateway(server, needs=Needs(LABELS[:3], 512)):
                pass


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (replying(b'{"error": {"message": "token_id(s) [103] contain out-of-vocab"}}', 400), "profile's own model"),
        (replying(b'{"error": {"message": "does not use priority scheduling"}}', 400), "--scheduling-policy priority"),
        (spoiling(lambda answer: answer["choices"].clear()), "--speculative-config"),
    ],
    ids=["vocabulary", "priority", "no choices"],
)
async def test_a_server_that_fails_to_score_a_first_prompt_is_refused(fault: Fault, advice: str) -> None:
    async with StandIn() as server:
        server.fault = fault
        with pytest.raises(ConfigurationError, match=advice):
            async with gateway(server):
                pass


async def test_requests_carry_exactly_what_reading_labels_needs() -> None:
    async with StandIn() as server, gateway(server) as scorer:
        await scorer.score([prompt(1, 2, labels=3), prompt(3, labels=3)], Deadline.after(5))
        assert server.scored[-1] == {
            "model": "mini",
            "prompt": [[1, 2], [3]],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 1,
            "logprob_token_ids": [100, 101, 102],
            "allowed_token_ids": [100, 101, 102],
            "return_tokens_as_token_ids": True,
        }


async def test_requests_to_a_head_ask_for_raw_outputs() -> None:
    async with StandIn(Mode.HEAD) as server, gateway(server) as scorer:
        await scorer.score([prompt(1, 2, labels=2), prompt(3, labels=2)], Deadline.after(5))
        assert server.scored[-1] == {
            "model": "mini",
            "input": [[1, 2], [3]],
            "task": "classify",
            "use_activation": False,
        }


@pytest.mark.parametrize("mode", MODES)
async def test_salt_and_priority_are_sent_where_they_are_set(mode: Mode) -> None:
    manners = Manners(cache_salt="tenant", priority=-1)
    async with StandIn(mode) as server:
        scorer = await connect(VllmOptions((server.url,), manners=manners), Needs(LABELS, 512))
        assert server.scored[-1].items() >= {"cache_salt": "tenant", "priority": -1}.items()
        await scorer.close()


async def test_each_owner_has_a_call_and_a_salt_of_its_own() -> None:
    ours = [replace(prompt(number), owner=owner) for number, owner in enumerate(("ann", "bob", "bob", None))]
    async with StandIn() as server, gateway(server) as scorer:
        assert await scorer.score(ours, Deadline.after(5)) == expected(ours)
        salts = {tuple(map(tuple, call["prompt"])): call.get("cache_salt") for call in server.scored[-3:]}
    assert salts[((3,),)] is None
    assert len({salts[((0,),)], salts[((1,), (2,))], None}) == 3
    assert "ann" not in str(salts)


async def test_prompts_with_other_labels_travel_in_another_call() -> None:
    ours = [prompt(1, labels=4), prompt(2, labels=4), prompt(3, labels=2)]
    async with StandIn() as server, gateway(server) as scorer:
        assert await scorer.score(ours, Deadline.after(5)) == expected(ours)
        sent = [(call["prompt"], len(call["logprob_token_ids"])) for call in server.scored[-2:]]
        assert sorted(sent) == [([[1], [2]], 4), ([[3]], 2)]


async def test_labels_are_answered_in_the_order_of_each_prompt() -> None:
    backwards = Prompt(np.array([1, 2, 3], dtype=np.uint32), LABELS[::-1])
    for mode in MODES:
        async with StandIn(mode) as server, gateway(server) as scorer:
            there, back = await scorer.score([prompt(1, 2, 3), backwards], Deadline.after(5))
            assert there == back[::-1]


async def test_a_label_that_is_none_of_the_profile_is_rejected() -> None:
    async with StandIn() as server, gateway(server) as scorer:
        with pytest.raises(EngineRejected, match="7"):
            await scorer.score([Prompt(np.array([1], dtype=np.uint32), (100, 7))], Deadline.after(5))


async def test_no_prompts_are_answered_without_a_call() -> None:
    async with StandIn() as server, gateway(server) as scorer:
        asked = len(server.scored)
        assert await scorer.score([], Deadline.after(5)) == []
        assert len(server.scored) == asked


async def test_a_masked_label_is_an_error_and_no_value() -> None:
    def mask(answer: Any) -> None:
        answer["choices"][0]["logprobs"]["top_logprobs"][0]["token_id:101"] = -9999.0

    async with StandIn() as server, gateway(server) as scorer:
        server.fault = spoiling(mask)
        with pytest.raises(EngineError, match="masked out"):
            await scorer.score([prompt(1)], Deadline.after(5))


async def test_more_tokens_than_one_are_an_error() -> None:
    def generate_two(answer: Any) -> None:
        answer["choices"][0]["logprobs"]["top_logprobs"] *= 2

    async with StandIn() as server, gateway(server) as scorer:
        server.fault = spoiling(generate_two)
        with pytest.raises(EngineProtocolError, match="2 came"):
            await scorer.score([prompt(1)], Deadline.after(5))


def test_an_identity_tells_weights_of_one_name_apart() -> None:
    assert Card("org/model", "org/model", 1).identity == "org/model"
    one, other = Card("mini", "/a", 1), Card("mini", "/b", 1)
    assert one.identity.startswith("mini@")
    assert one.identity != other.identity
