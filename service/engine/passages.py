"""What encoders made of passages, remembered: retrieval-augmented callers rank the same chunks again and again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from service.domain import TokenIds
from service.encoders.encoders import States, Vector

_BESIDE = 512
"""Bytes of an entry's key and objects, about."""


@dataclass(frozen=True, slots=True, eq=False)
class PassageReading:
    """What the encoders made of one passage: ``dense`` [dimension], ``states`` [tokens, width]; ``None`` if unread."""

    dense: Vector | None = None
    states: States | None = None

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        arrays = (array for array in (self.dense, self.states) if array is not None)
        return _BESIDE + sum(array.nbytes for array in arrays)


class PassageMemory:
    """Readings by owner and token ids, the least recently used dropped beyond ``most_bytes``.

    An owner never gets, nor learns the presence of, what was read for another. Used on one event loop.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[bytes, tuple[PassageReading, int]] = OrderedDict()
        self.bytes = 0

    def get(self, owner: str | None, ids: TokenIds) -> PassageReading:
        """What is known of a passage; an empty reading if nothing is."""
        key = _key(owner, ids)
        found = self._entries.get(key)
        if found is None:
            return PassageReading()
        self._entries.move_to_end(key)
        return found[0]

    def put(self, owner: str | None, ids: TokenIds, reading: PassageReading) -> None:
        """Remember a reading beside what is known already; one of nothing is not worth its place."""
        key = _key(owner, ids)
        known, before = self._entries.pop(key, (PassageReading(), 0))
        self.bytes -= before
        reading = PassageReading(
            known.dense if reading.dense is None else reading.dense,
            known.states if reading.states is None else reading.states,
        )
        size = reading.bytes
        if size == _BESIDE or size > self._most_bytes:
            return
        self._entries[key] = (reading, size)
        self.bytes += size
        while self.bytes > self._most_bytes:
            _, (_, dropped) = self._entries.popitem(last=False)
            self.bytes -= dropped


def _key(owner: str | None, ids: TokenIds) -> bytes:
    digest = hashlib.blake2b(len(ids).to_bytes(4, "little") + ids.tobytes(), digest_size=16)
    digest.update(b"" if owner is None else b"\0" + owner.encode())
    return digest.digest()
