"""Where the replicas are: fixed URLs, and names whose every address is a replica."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

import anyio

from service.errors import ConfigurationError, EngineUnavailable

EVERY_ADDRESS = "dns+"
"""Prefix of a URL whose host name stands for all of its addresses, as a headless Kubernetes service does."""

_PORTS = {"http": 80, "https": 443}


class Addresses:
    """The base URLs that ``urls`` stand for, such as ``http://10.0.0.7:8000`` or ``dns+http://vllm-pods:8000``.

    Raises:
        ConfigurationError: none is given, or one is no URL of a kind that works.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        if not urls:
            raise ConfigurationError("the engine needs the URL of at least one vLLM server")
        self._fixed = [_checked(url).geturl() for url in urls if not url.startswith(EVERY_ADDRESS)]
        self._names = [_checked(url) for url in urls if url.startswith(EVERY_ADDRESS)]

    async def __call__(self) -> list[str]:
        """All base URLs as they are now, each once.

        Raises:
            EngineUnavailable: a name cannot be resolved.
        """
        found = list(self._fixed)
        for name in self._names:
            found.extend(await _every_address(name))
        return list(dict.fromkeys(found))


def _checked(url: str) -> SplitResult:
    """``url`` without its prefix and final slash."""
    parts = urlsplit(url.removeprefix(EVERY_ADDRESS).rstrip("/"))
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigurationError(f"{url} is no http or https URL")
    if parts.username is not None:  # errors and logs name URLs
        raise ConfigurationError(f"the URL of {parts.hostname} holds a name or a password; give a token as api_key")
    if url.startswith(EVERY_ADDRESS) and parts.scheme == "https":
        raise ConfigurationError(f"{url}: a certificate names a host, not its addresses; use http, or list the hosts")
    return parts


async def _every_address(name: SplitResult) -> list[str]:
    host, port = str(name.hostname), name.port or _PORTS[name.scheme]
    try:
        answers = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise EngineUnavailable(f"{host} cannot be resolved: {error}") from error
    ips = sorted({answer[4][0] for answer in answers})
    return [name._replace(netloc=f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}").geturl() for ip in ips]
