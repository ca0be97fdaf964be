"""Scorers over stand-ins, impatient enough for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from service.engine.vllm.discovery import Needs
from service.engine.vllm.replica import Policy
from service.engine.vllm.scorer import VllmOptions, VllmScorer, connect
from service.observability.events import Event
from tests.engine.vllm.stand_in import LABELS, StandIn

POLICY = Policy(
    attempt_s=0.5,
    patience_s=1.0,
    look_s=0.05,
    hurry_s=0.01,
    probe_s=0.3,
    admission_s=3.0,
    rest_s=0.05,
    longest_rest_s=0.2,
)
NEEDS = Needs(LABELS, prompt_tokens=512)


@asynccontextmanager
async def gateway(
    *servers: StandIn,
    needs: Needs = NEEDS,
    events: list[Event] | None = None,
    call_tokens: int = 8192,
    **policy: Any,
) -> AsyncIterator[VllmScorer]:
    """A connected scorer; ``policy`` replaces parts of the impatient one."""
    options = VllmOptions(
        urls=tuple(server.url for server in servers), call_tokens=call_tokens, policy=replace(POLICY, **policy)
    )
    heard: list[Event] = [] if events is None else events
    scorer = await connect(options, needs, heard.append)
    try:
        yield scorer
    finally:
        await scorer.close()


async def until(true: Callable[[], bool], seconds: float = 3) -> None:
    """Wait for ``true``; the assertion fails if it does not come."""
    for _ in range(int(seconds / 0.01)):
        if true():
            return
        await asyncio.sleep(0.01)
    assert true()
