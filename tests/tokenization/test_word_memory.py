from __future__ import annotations

import numpy as np

from service.tokenization.word_memory import Packed, WordMemory, packed, unpacked


class Reading:
    """Reads a word as its length, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, word: str) -> Packed:
        self.asked.append(word)
        return packed([len(word)])


def test_a_word_is_read_once() -> None:
    read = Reading()
    words = WordMemory(read)
    assert unpacked(words.of(["a", "bc", "a", ""])).tolist() == [1, 2, 1, 0]
    assert read.asked == ["a", "bc", ""]


def test_memory_is_bounded_in_words_and_in_their_length() -> None:
    words = WordMemory(Reading(), most=3)
    assert unpacked(words.of("a" * number for number in range(200))).tolist() == list(range(200))
    words["kept"]
    assert 0 < len(words) <= 3
    assert max(map(len, words)) <= 64


def test_numbers_come_back_as_they_went_in() -> None:
    largest = np.iinfo(np.uint32).max
    assert unpacked(packed([0, 7, largest])).tolist() == [0, 7, largest]
    assert unpacked(packed([])).tolist() == []
