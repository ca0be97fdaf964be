"""The protocol by itself; ``test_hostile_requests.py`` shows it in front of the service."""

from __future__ import annotations

import anyio
import anyio.abc
import pytest
from starlette.types import Receive, Scope, Send

from service.settings import LimitSettings
from tests.api.raw import head, statuses
from tests.serving import listening

pytestmark = pytest.mark.anyio

LIMITS = LimitSettings(receive_s=0.1)
GET = head("/", method="GET")


async def everything(stream: anyio.abc.SocketStream) -> bytes:
    received = b""
    while True:
        try:
            received += await stream.receive()
        except anyio.EndOfStream:
            return received


class Slow:
    """An application that answers once its time has passed that requests have to arrive in, and more."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.heard.append((await receive())["type"])
        await anyio.sleep(3 * LIMITS.receive_s)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def test_who_waits_for_us_is_not_too_slow() -> None:
    async with listening(Slow(), LIMITS) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(GET + GET[:9])
        assert statuses(await everything(stream)) == [200, 408]


async def test_requests_sent_at_once_are_answered_one_after_the_other() -> None:
    async with listening(Slow(), LIMITS) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(GET + head("/", b"Connection: close\r\n", method="GET"))
        assert statuses(await everything(stream)) == [200, 200]


async def test_who_waits_for_a_body_that_does_not_come_is_told_that_the_client_has_gone() -> None:
    app = Slow()
    async with listening(app, LIMITS) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(head("/", b"Content-Length: 5\r\n"))
        assert statuses(await everything(stream)) == [408]
    assert app.heard == ["http.disconnect"]
