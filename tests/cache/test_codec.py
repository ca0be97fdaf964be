"""Answers as bytes: the same answer back, and nothing else ever read as one."""

from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cache import codec
from service.cache.codec import ForeignValue, decode, encode
from tests.cache.asking import KEY, answer


@pytest.mark.parametrize("documents", [True, False])
def test_an_answer_comes_back_as_it_was(documents: bool) -> None:
    kept = answer()

    value = encode(KEY, kept, documents=documents)

    assert decode(KEY, value, None if documents else kept.candidates) == kept


def test_a_value_of_another_key_is_foreign() -> None:
    with pytest.raises(ForeignValue):
        decode("6" * 64, encode(KEY, answer(), documents=True), None)


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_foreign(value: bytes) -> None:
    with pytest.raises(ForeignValue):
        decode(KEY, value, None)


@given(st.data())
def test_a_value_with_one_byte_changed_or_cut_short_is_foreign(data: st.DataObject) -> None:
    value = bytearray(encode(KEY, answer(), documents=True))
    place = data.draw(st.integers(0, len(value) - 1))
    if data.draw(st.booleans()):
        value[place] ^= data.draw(st.integers(1, 255))
    else:
        del value[place:]

    with pytest.raises(ForeignValue):
        decode(KEY, bytes(value), None)


def signed(packed: bytes) -> bytes:
    return codec._MARK + codec._checksum(KEY, packed) + packed


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"order": [0, 0]},
        {"candidates": 5},
    ],
)
def test_a_value_of_another_shape_is_foreign_even_with_a_good_checksum(body: object) -> None:
    full = json.loads(zlib.decompress(encode(KEY, answer(), documents=True)[20:]))
    changed = full | body if isinstance(body, dict) and body else body

    with pytest.raises(ForeignValue):
        decode(KEY, signed(zlib.compress(json.dumps(changed).encode())), None)


def test_an_order_of_other_documents_is_foreign() -> None:
    kept = answer()
    value = encode(KEY, kept, documents=False)

    with pytest.raises(ForeignValue):
        decode(KEY, value, kept.candidates[:2])


def test_a_small_value_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_LARGEST", 1000)

    with pytest.raises(ForeignValue):
        decode(KEY, signed(zlib.compress(bytes(2000))), None)
