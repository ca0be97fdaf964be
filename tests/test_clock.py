"""A wall clock that jumps moves no deadline, spoils nothing that is kept and fails no request."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from loadtest.serving import service
from tests.cache.valkey import valkey
from tests.faketime import FAKETIME, Clock

pytestmark = [
    pytest.mark.needs("faketime"),
    pytest.mark.skipif(FAKETIME is None, reason="needs faketime"),
]

YEARS = 10 * 365 * 86_400
QUESTION = {"query": "read a csv file into dictionaries", "candidates": 10, "timeout_ms": 30_000}


@pytest.fixture
def jumping(demo_indexes: Path, tmp_path: Path) -> Iterator[tuple[httpx.Client, Clock]]:
    """A service over a Valkey, and its wall clock."""
    clock = Clock(tmp_path)
    with valkey(tmp_path) as store:
        settings = {
            "ONEPASS_INDEXES__DIRECTORY": str(demo_indexes),
            "ONEPASS_CACHE__KIND": "redis",
            "ONEPASS_CACHE__URL": store.url,
            "ONEPASS_CACHE__HOT_S": "0",
            "ONEPASS_CACHE__LIMIT_MS": "5000",
        }
        with service({**settings, **clock.environment}) as (url, _), httpx.Client(base_url=url, timeout=60) as client:
            yield client, clock


def year(client: httpx.Client) -> int:
    """The year of the service, by the only header that tells it; the server reads the clock once a second for it."""
    return parsedate_to_datetime(client.get("/livez").headers["date"]).year


def jumped(client: httpx.Client, clock: Clock, seconds: int) -> bool:
    """Make the clock jump, and wait for the service to see it."""
    before = year(client)
    clock.jump(seconds)
    until = time.monotonic() + 30
    while year(client) == before and time.monotonic() < until:
        time.sleep(0.05)
    return year(client) != before


@pytest.mark.parametrize("jump", [YEARS, -YEARS])
def test_a_jump_of_the_clock_fails_and_forgets_nothing(jumping: tuple[httpx.Client, Clock], jump: int) -> None:
    client, clock = jumping
    before = client.post("/v1/search", json=QUESTION).json()
    assert jumped(client, clock, jump)
    again = client.post("/v1/search", json=QUESTION).json()
    anew = client.post("/v1/search", json=QUESTION, headers={"Cache-Control": "no-cache"}).json()
    assert again["cache"] == "hit"
    assert again["results"] == anew["results"] == before["results"]
    assert not anew["rerank"]["degraded"]
    took = re.findall(r"onepass_request_seconds_sum\{route=\"/v1/search\"\} ([\d.e+-]+)", client.get("/metrics").text)
    assert 0 < float(took[0]) < 60, "nothing took ten years"
