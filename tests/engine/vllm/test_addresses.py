from __future__ import annotations

import socket
from typing import Any

import anyio
import pytest

from service.engine.vllm.addresses import Addresses
from service.errors import ConfigurationError, EngineUnavailable

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "urls", [(), ("vllm:8000",), ("ftp://a",), ("http://",), ("dns+https://vllm",), ("http://a:b@c",)]
)
def test_what_is_no_usable_url_is_refused(urls: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError):
        Addresses(urls)


async def test_fixed_urls_stay_as_they_are() -> None:
    addresses = Addresses(["http://a:1/", "https://b/models", "http://a:1"])
    assert await addresses() == ["http://a:1", "https://b/models"]


async def test_a_name_stands_for_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [["10.0.0.2", "10.0.0.1"], ["10.0.0.3", "fd00::1"]]

    async def getaddrinfo(host: str, port: int, **_: object) -> list[Any]:
        assert host == "vllm"
        return [(socket.AF_INET, 1, 6, "", (ip, port)) for ip in answers.pop(0)]

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)
    addresses = Addresses(["dns+http://vllm:8000"])
    assert await addresses() == ["http://10.0.0.1:8000", "http://10.0.0.2:8000"]
    assert await addresses() == ["http://10.0.0.3:8000", "http://[fd00::1]:8000"]


async def test_a_name_without_addresses_is_an_error() -> None:
    with pytest.raises(EngineUnavailable, match=r"nowhere\.invalid"):
        await Addresses(["dns+http://nowhere.invalid:8000"])()


async def test_localhost_resolves() -> None:
    assert "http://127.0.0.1:80" in await Addresses(["dns+http://localhost"])()
