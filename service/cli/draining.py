"""A server that ends in order: not ready first, then deaf to new connections, then what is under way, then silence."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
from types import FrameType

import uvicorn

from service.api.under_way import UnderWay
from service.errors import ShuttingDown
from service.settings import ServerSettings

_BACKSTOP_S = 2
"""Seconds after the grace time in which answers to cancelled requests are sent, before connections are dropped."""


class DrainingServer(uvicorn.Server):
    """Ends on SIGTERM or SIGINT with the exit code 0, in ``drain_delay_s`` and ``shutdown_grace_s`` seconds at most.

    A second SIGINT ends it at once.
    """

    def __init__(self, config: uvicorn.Config, under_way: UnderWay, settings: ServerSettings) -> None:
        config.timeout_graceful_shutdown = math.ceil(settings.shutdown_grace_s) + _BACKSTOP_S
        super().__init__(config)
        self._under_way = under_way
        self._delay_s = settings.drain_delay_s
        self._grace_s = settings.shutdown_grace_s

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to end."""
        signal.signal(signal.SIGTERM, _nothing_more)  # uvicorn raises it again once it has ended
        super().run(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in order; requests that outlive the grace time are answered with 503."""
        self._under_way.drain()
        await asyncio.sleep(self._delay_s)
        error = ShuttingDown("the service is shutting down")
        last_call = asyncio.get_running_loop().call_later(self._grace_s, self._under_way.end, error)
        try:
            await super().shutdown(sockets)
        finally:
            last_call.cancel()


def _nothing_more(_signal: int, _frame: FrameType | None) -> None:
    """The signal has been obeyed."""
