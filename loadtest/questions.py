"""What load generators ask: queries with lists of passages, cut from the documentation of Python's standard library."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from service.corpus.stdlib_docs import StdlibDocs

_WORDS = ("read", "write", "list", "file", "csv", "path", "socket", "thread", "queue", "time", "date", "json")
_LISTS = 20
"""Different lists of passages. A new query over an old list is a new prompt from its first token on."""


@dataclass(frozen=True, slots=True)
class Question:
    """A query, and the passages to rank for it."""

    query: str
    documents: Sequence[str]


class Passages:
    """Passages of exactly so many words, from anywhere in the documentation."""

    def __init__(self, generator: random.Random) -> None:
        self._random = generator
        self._words = [word for document in StdlibDocs().documents() for word in document.text.split()]

    def take(self, count: int, words: int) -> list[str]:
        """So many of them."""
        starts = [self._random.randrange(len(self._words) - words) for _ in range(count)]
        return [" ".join(self._words[start : start + words]) for start in starts]


class Questions:
    """Questions without end, with lists of ``count`` passages of ``words`` words; a ``count`` of 0 is for searches."""

    def __init__(self, generator: random.Random, count: int = 0, words: int = 0) -> None:
        self._random = generator
        self._lists: list[list[str]] = [[]]
        if count:
            passages = Passages(generator)
            self._lists = [passages.take(count, words) for _ in range(_LISTS)]

    def fresh(self) -> Question:
        """One that was never asked before."""
        query = " ".join(self._random.choices(_WORDS, k=6)) + f" {self._random.randrange(10**9)}"
        return Question(query, self._random.choice(self._lists))


class Popular:
    """Some questions are asked much more often than others: the n-th of ``distinct`` in proportion to n^-exponent.

    Zipf's law with an exponent a little below 1 is what logs of search engines show (Baeza-Yates et al., SIGIR 2007).
    """

    def __init__(self, questions: Questions, distinct: int, exponent: float, generator: random.Random) -> None:
        self._random = generator
        self._questions = [questions.fresh() for _ in range(distinct)]
        self._weights = list(accumulate(rank**-exponent for rank in range(1, distinct + 1)))

    def draw(self) -> Question:
        """The next one."""
        return self._random.choices(self._questions, cum_weights=self._weights)[0]
