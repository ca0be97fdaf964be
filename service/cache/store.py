"""What the cache knows of a store: bytes under a key for a while, and one leader at a time for a missing key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

LEASE_S = 2.0
"""A leader that has not renewed its lease for so long is taken for dead, and another takes its place."""


@dataclass(frozen=True, slots=True)
class Hit:
    """The value of a key; ``left_s`` seconds from now it is gone."""

    value: bytes
    left_s: float


@dataclass(frozen=True, slots=True)
class Lead:
    """Nobody has the value and the asker is to make it. ``token`` grows with every leader of the key."""

    token: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Nobody has the value, but a leader is making it."""


Looked = Hit | Lead | Busy


class Store(Protocol):
    """Keeps values. Every method raises ``CacheUnavailable`` instead of waiting long, and nothing else."""

    async def open(self) -> None:
        """Connect as far as possible; that it is not possible now is no error."""

    async def look(self, key: str) -> Looked:
        """The value; else the lead, or who has it. A lead lasts ``LEASE_S`` unless renewed."""

    async def read(self, key: str) -> Hit | None:
        """The value, without becoming the leader where there is none."""

    async def take(self, key: str) -> Lead:
        """The lead, whoever has it and whatever is kept: the value is to be made anew."""

    async def renew(self, key: str, lead: Lead) -> None:
        """Keep the lead, if it is not another's by now."""

    async def put(self, key: str, lead: Lead, value: bytes, ttl_s: float) -> None:
        """Keep ``value`` and end the lead. A leader that was replaced meanwhile changes nothing."""

    async def release(self, key: str, lead: Lead) -> None:
        """End the lead without a value, so that the next asker may try."""

    async def close(self) -> None:
        """Release connections."""
