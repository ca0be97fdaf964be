"""Callers who connect and say nothing, or ask and do not read, are nobody else's trouble."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.slow_callers import IDLE, SLOW, connections, large_request, many_files
from tests.serving import serving_apart

QUESTION = {"query": "read a csv file into dictionaries", "candidates": 10, "timeout_ms": 30_000}


@pytest.fixture(scope="module", autouse=True)
def room() -> Iterator[int]:
    """How many connections a process may hold."""
    with many_files() as most:
        yield most


@pytest.fixture
def service(demo_indexes: Path) -> Iterator[httpx.Client]:
    """A client of a service in a process of its own, with files enough."""
    with serving_apart(ONEPASS_INDEXES__DIRECTORY=str(demo_indexes), ONEPASS_CACHE__KIND="off") as (client, _):
        yield client


def address(client: httpx.Client) -> tuple[str, int]:
    return client.base_url.host, client.base_url.port or 0


def answered_in_full(client: httpx.Client) -> bool:
    response = client.post("/v1/search", json=QUESTION)
    return response.status_code == 200 and not response.json()["rerank"]["degraded"]


def test_ten_thousand_silent_connections_disturb_nobody(service: httpx.Client, room: int) -> None:
    with connections(*address(service), min(IDLE, room)) as silent:
        assert answered_in_full(service)
        assert service.get("/readyz").status_code == 200
        silent[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert silent[-1].recv(64).startswith(b"HTTP/1.1 200"), "and each of them is still served"
    assert answered_in_full(service)


def test_a_thousand_callers_who_do_not_read_disturb_nobody(service: httpx.Client) -> None:
    with connections(*address(service), SLOW) as unread:
        for each in unread:
            each.sendall(large_request())
        assert answered_in_full(service)
        assert unread[0].recv(64).startswith(b"HTTP/1.1 200")
    assert answered_in_full(service)
