"""A Milvus server as searches use it: no call without a limit, and its errors in our own tree."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
from pymilvus import AsyncMilvusClient, MilvusException

from service.deadline import Deadline
from service.errors import RetrievalError
from service.retrieval.milvus.options import MilvusOptions

CONNECT_S = 1.0
"""Limit of connecting: a server that is away must not take a request's whole time."""

_LONGEST_S = 10.0
"""Limit of a call without a deadline."""

logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it prints every error that it also raises

Result = TypeVar("Result")


def failure(options: MilvusOptions, error: Exception) -> str:
    """What went wrong, without the token that a server may repeat."""
    told = str(error) or type(error).__name__
    return f"Milvus at {options.url} failed: {told.replace(options.secret, '***') if options.secret else told}"


class MilvusServer:
    """Connects when it is first asked, so that a server that is away keeps nobody from starting; for one event loop."""

    def __init__(self, options: MilvusOptions) -> None:
        self._options = options
        self._client = AsyncMilvusClient(options.url, token=options.secret, timeout=CONNECT_S, dedicated=True)
        self._connecting = asyncio.Lock()
        self._connected = False

    async def ask(self, call: Callable[[AsyncMilvusClient], Awaitable[Result]], deadline: Deadline) -> Result:
        """What ``call`` gets of the client. It is cancelled at the deadline, here and on the server.

        ``call`` passes ``retry_times=0``: the client's own retries take no notice of how much time there is.

        Raises:
            DeadlineExceeded: the deadline came first.
            RetrievalError: the server is away or refuses.
        """
        deadline.check("retrieval")
        try:
            async with asyncio.timeout(min(deadline.remaining, _LONGEST_S)):
                await self._connect()
                return await call(self._client)
        except (MilvusException, grpc.RpcError, TimeoutError) as error:
            deadline.check("retrieval")
            raise RetrievalError(failure(self._options, error)) from error

    async def close(self) -> None:
        """Release the connection."""
        await self._client.close()

    async def _connect(self) -> None:
        async with self._connecting:  # the client would open one connection for each of its first callers
            if not self._connected:
                await self._client.__aenter__()
                self._connected = True
