from __future__ import annotations

import httpx
import pytest

from service.engine.vllm.replica import ReplicaLost
from service.engine.vllm.wire import VENDOR_ERRORS, Wire, translated
from service.errors import EngineError, EngineUnavailable
from tests.engine.vllm.stand_in import StandIn

pytestmark = pytest.mark.anyio

ERRORS = [kind for kind in vars(httpx).values() if isinstance(kind, type) and issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_of_the_http_library_has_a_meaning(kind: type[Exception]) -> None:
    if kind in {httpx.HTTPError, httpx.RequestError}:
        return  # abstract: only their subclasses are raised
    error = kind.__new__(kind)
    assert isinstance(error, tuple(VENDOR_ERRORS))
    assert isinstance(translated(error, "http://a"), EngineError)


def test_waiting_for_our_own_pool_says_nothing_about_the_replica() -> None:
    assert not isinstance(translated(httpx.PoolTimeout(""), "http://a"), ReplicaLost)
    assert isinstance(translated(httpx.ConnectTimeout(""), "http://a"), ReplicaLost)


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
