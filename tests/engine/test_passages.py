from __future__ import annotations

import numpy as np
import pytest

from service.domain import TokenIds
from service.encoders.encoders import States, Vector
from service.engine.passages import PassageMemory, PassageReading

DENSE: Vector = np.ones(384, np.float32)
STATES: States = np.ones((20, 128), np.float16)
BOTH = PassageReading(DENSE, STATES)


def ids(number: int) -> TokenIds:
    return np.array([number, 7], dtype=np.uint32)


def room_for(readings: int) -> PassageMemory:
    return PassageMemory(readings * BOTH.bytes)


def known(memory: PassageMemory, owner: str | None, number: int) -> bool:
    return memory.get(owner, ids(number)).dense is not None


def test_what_was_read_is_given_back() -> None:
    memory = room_for(1)
    assert memory.get(None, ids(1)).dense is memory.get(None, ids(1)).states is None
    memory.put(None, ids(1), BOTH)
    found = memory.get(None, ids(1))
    assert found.dense is DENSE
    assert found.states is STATES
    assert not known(memory, None, 2)


def test_the_bound_holds_while_it_is_filled() -> None:
    memory = room_for(3)
    for number in range(50):
        memory.put(None, ids(number), PassageReading(states=STATES))
        memory.put(None, ids(number), PassageReading(dense=DENSE))
        held = [memory.get(None, ids(each)) for each in range(number + 1)]
        kept = [reading for reading in held if reading.states is not None]
        assert sum(reading.bytes for reading in kept) == memory.bytes <= 3 * BOTH.bytes
    assert len(kept) == 3


def test_a_reading_cannot_grow_after_it_was_counted() -> None:
    reading = PassageReading(dense=DENSE)
    with pytest.raises(AttributeError):
        reading.states = STATES  # type: ignore[misc]


def test_the_least_recently_used_goes_first() -> None:
    memory = room_for(3)
    for number in range(3):
        memory.put(None, ids(number), BOTH)
    assert known(memory, None, 0)
    memory.put(None, ids(3), BOTH)
    assert [known(memory, None, number) for number in range(4)] == [True, False, True, True]


def test_what_another_caller_read_meanwhile_is_kept() -> None:
    memory = room_for(1)
    memory.put(None, ids(1), PassageReading(dense=DENSE))
    memory.put(None, ids(1), PassageReading(states=STATES))
    assert memory.get(None, ids(1)).dense is DENSE
    assert memory.get(None, ids(1)).states is STATES
    assert memory.bytes == BOTH.bytes


@pytest.mark.parametrize("other", [None, "", "b", "a\0"])
def test_owners_are_apart(other: str | None) -> None:
    memory = room_for(9)
    memory.put("a", ids(1), BOTH)
    assert not known(memory, other, 1)
    memory.put(other, ids(1), PassageReading(dense=np.zeros(384, np.float32)))
    assert memory.get("a", ids(1)).dense is DENSE


def test_an_owners_name_is_no_token() -> None:
    memory = room_for(9)
    memory.put("w\0\0", ids(1), BOTH)
    (as_ids,) = np.frombuffer(b"\0w\0\0", np.uint32)
    assert memory.get(None, np.append(ids(1), as_ids)).dense is None


def test_a_reading_of_nothing_takes_no_place() -> None:
    memory = room_for(1)
    memory.put(None, ids(1), BOTH)
    memory.put(None, ids(2), PassageReading())
    assert known(memory, None, 1)
    assert memory.bytes == BOTH.bytes


def test_what_is_larger_than_the_whole_memory_is_not_kept() -> None:
    memory = PassageMemory(BOTH.bytes - 1)
    memory.put(None, ids(1), PassageReading(dense=DENSE))
    memory.put(None, ids(2), BOTH)
    assert known(memory, None, 1)
    assert not known(memory, None, 2)


def test_without_memory_nothing_is_kept() -> None:
    memory = PassageMemory(0)
    memory.put(None, ids(1), BOTH)
    assert (known(memory, None, 1), memory.bytes) == (False, 0)
