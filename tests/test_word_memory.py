from __future__ import annotations

from service.word_memory import Numbers, WordMemory


class Reading:
    """Reads a word as its length, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, word: str) -> Numbers:
        self.asked.append(word)
        return (len(word),)


def test_a_word_is_read_once() -> None:
    read = Reading()
    words = WordMemory(read)
    assert list(words.of(["a", "bc", "a", ""])) == [1, 2, 1, 0]
    assert read.asked == ["a", "bc", ""]


def test_a_word_is_read_when_its_turn_comes() -> None:
    read = Reading()
    assert next(WordMemory(read).of(["a", "b"])) == 1
    assert read.asked == ["a"]


def test_memory_is_bounded_in_words_and_in_their_length() -> None:
    words = WordMemory(Reading(), most=3)
    assert list(words.of(["a" * number for number in range(200)])) == list(range(200))
    words["kept"]
    assert 0 < len(words) <= 3
    assert max(map(len, words)) <= 64
