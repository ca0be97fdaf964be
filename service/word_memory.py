"""Numbers of words, remembered: natural text repeats itself, and a word is looked up faster than it is cut again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

_LONGEST = 64
"""Longer words are hardly ever seen twice; that none is kept bounds the memory."""
_MOST = 200_000

Numbers = tuple[int, ...]
"""What stands for a word, such as its token ids."""


class WordMemory(dict[str, Numbers]):
    """Remembers what ``read`` gives for short words; emptied when it has grown beyond bound.

    Safe to use from several threads if ``read`` is: a word may be read twice, but never wrongly.
    """

    def __init__(self, read: Callable[[str], Numbers], most: int = _MOST) -> None:
        super().__init__()
        self._read = read
        self._most = most

    def of(self, words: Iterable[str]) -> Iterator[int]:
        """The numbers of ``words``, one after the other; a word is read when its turn comes."""
        return chain.from_iterable(map(self.__getitem__, words))

    def __missing__(self, word: str) -> Numbers:
        numbers = self._read(word)
        if len(word) <= _LONGEST:
            if len(self) >= self._most:
                self.clear()
            self[word] = numbers
        return numbers
