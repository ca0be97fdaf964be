"""Numbers of words, remembered: natural text repeats itself, and a word is looked up faster than it is cut again."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

_LONGEST = 64
"""Longer words are hardly ever seen twice; that none is kept bounds the memory."""
_MOST = 200_000

BYTES = 4
"""Of a number."""
Packed = bytes
"""Numbers that stand for a word, such as its token ids: those of a text are joined without looking at any of them."""
Numbers = NDArray[np.uint32]


def packed(numbers: Iterable[int]) -> Packed:
    """Numbers as they are remembered."""
    return array("I", numbers).tobytes()


def unpacked(numbers: Packed) -> Numbers:
    """Remembered numbers, shape [numbers]; they cannot be written to."""
    return np.frombuffer(numbers, dtype=np.uint32)


class WordMemory(dict[str, Packed]):
    """Remembers what ``read`` gives for short words; emptied when it has grown beyond bound.

    Safe to use from several threads if ``read`` is: a word may be read twice, but never wrongly.
    """

    def __init__(self, read: Callable[[str], Packed], most: int = _MOST) -> None:
        super().__init__()
        self._read = read
        self._most = most

    def of(self, words: Iterable[str]) -> Packed:
        """The numbers of ``words``, one after the other."""
        return b"".join(map(self.__getitem__, words))

    def __missing__(self, word: str) -> Packed:
        numbers = self._read(word)
        if len(word) <= _LONGEST:
            if len(self) >= self._most:
                self.clear()
            self[word] = numbers
        return numbers
