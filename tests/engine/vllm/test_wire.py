from __future__ import annotations

import math

import aiohttp
import pytest

from service.deadline import Deadline
from service.engine.vllm.decode import label_mass
from service.engine.vllm.reading import Mode
from service.engine.vllm.replica import ReplicaLost
from service.engine.vllm.wire import VENDOR_ERRORS, Wire, translated
from service.errors import EngineError, EngineProtocolError, EngineUnavailable
from service.observability.events import EngineCalled, Event, LabelsRead
from tests.engine.vllm.gateways import gateway
from tests.engine.vllm.stand_in import MODES, StandIn, prompt

pytestmark = pytest.mark.anyio

ERRORS = [kind for kind in vars(aiohttp).values() if isinstance(kind, type) and issubclass(kind, aiohttp.ClientError)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_of_the_http_library_has_a_meaning(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    assert isinstance(error, tuple(VENDOR_ERRORS))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (aiohttp.ConnectionTimeoutError("late"), ReplicaLost),
        (aiohttp.ServerDisconnectedError("gone"), ReplicaLost),
        (aiohttp.ClientPayloadError("half"), ReplicaLost),
        (aiohttp.InvalidURL("nowhere"), EngineUnavailable),
        (aiohttp.ClientError("anything else"), EngineProtocolError),
    ],
)
def test_an_error_of_the_http_library_becomes_one_of_ours(error: Exception, meaning: type[EngineError]) -> None:
    ours = translated(error, "http://a")
    assert type(ours) is meaning
    assert str(ours).startswith("http://a: ")


async def test_a_key_is_sent_as_a_bearer_token() -> None:
    async with StandIn() as server:
        wire = Wire(api_key="Secret")
        await wire.get(server.url, "/version")
        await wire.close()
    assert [headers["authorization"] for _, headers in server.heads] == ["bearer secret"], "heads are in lower case"


async def test_a_closed_wire_is_unavailable() -> None:
    wire = Wire()
    await wire.close()
    with pytest.raises(EngineUnavailable, match="closed"):
        await wire.get("http://127.0.0.1:9", "/version")


@pytest.mark.parametrize("mode", MODES)
async def test_each_call_is_told_and_the_mass_of_labels_where_it_is_known(mode: Mode) -> None:
    events: list[Event] = []
    async with StandIn(mode) as server, gateway(server, events=events, call_tokens=4) as scorer:
        await scorer.score([prompt(1, 2), prompt(3), prompt(4, 5)], Deadline.after(5))

    calls = [event for event in events if isinstance(event, EngineCalled)]
    assert sorted((call.prompts, call.tokens, call.fill) for call in calls) == [(1, 2, 0.5), (2, 3, 0.75)]
    assert len([event for event in events if isinstance(event, LabelsRead)]) == (3 if mode is Mode.DECODE else 0)


def test_the_mass_of_labels_is_their_probability() -> None:
    assert label_mass((math.log(0.5), math.log(0.25))) == pytest.approx(0.75)
    assert label_mass((0.0, 0.0)) == 1
