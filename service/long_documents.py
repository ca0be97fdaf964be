"""Documents longer than a prompt shows of a passage: cut into chunks, of which those nearest to the query are ranked.

A document is as good as its best chunk (MaxP, Dai and Callan, SIGIR 2019). Which chunks the model is shown is decided
by the query's words that they hold, each worth more the fewer of the request's chunks hold it: no model is asked.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from service.corpus.chunking import Chunking, Span
from service.domain import Candidate, Ranking, RelevantSpan, WindowReading
from service.ranking.profile import Profile
from service.tokenization.sources import load_tokenizer

MOST_CHUNKS = 2000
"""Of all documents of a request: of a long list, fewer of each are ranked, and no request asks for more prompts."""

_WORD = re.compile(r"\w+")
_LONG = 3
"""Chunks from which another one may stand for a document than its first: of two, the first says more of the whole.

nDCG@10 of a small listwise model that was shown 78 tokens of a passage, on train queries, hybrid first stage, best 50:
the beginning, the nearest chunk, this rule:
CoSQA .689, .673, .700; SciFact .698, .745, .745; MedQuAD .537, .562, .557; CLAPNQ .898, .892, .892.
"""
_BYTES_PER_TOKEN = 6
"""A text of fewer bytes for each token that is shown is hardly ever cut in as many as ``_LONG``, and not looked at."""
_REMEMBERED = 8192
_REMEMBERED_CHARACTERS = 10_000
"""Longer documents are cut anew each time, which bounds the memory."""


@dataclass(frozen=True, slots=True)
class Chunks:
    """Candidates as the model is shown them: ``owners`` are the positions of the documents that they are chunks of.

    ``spans`` are their starts and ends in the documents' texts, in characters.
    """

    candidates: tuple[Candidate, ...]
    owners: tuple[int, ...]
    spans: tuple[Span, ...]

    def whole(self, ranking: Ranking) -> Ranking:
        """The ranking of the documents that one of their chunks stands for, each as its best chunk."""
        best: dict[int, float] = {}
        found: dict[int, list[RelevantSpan]] = {}
        for position, score in zip(ranking.order, ranking.scores, strict=True):
            owner = self.owners[position]
            best.setdefault(owner, score)
            found.setdefault(owner, []).append(RelevantSpan(*self.spans[position], score))
        return replace(
            ranking,
            order=tuple(best),
            scores=tuple(best.values()),
            spans=tuple(map(tuple, found.values())),
            readings=tuple(self._of_documents(reading) for reading in ranking.readings),
        )

    def _of_documents(self, reading: WindowReading) -> WindowReading:
        return replace(reading, window=tuple(self.owners[position] for position in reading.window))


def uncut(ranking: Ranking, candidates: Sequence[Candidate]) -> Ranking:
    """The ranking of documents none of which had to be cut: each is its own best part."""
    texts = (candidates[position].document.text for position in ranking.order)
    spans = ((RelevantSpan(0, len(text), score),) for text, score in zip(texts, ranking.scores, strict=True))
    return replace(ranking, spans=tuple(spans))


def any_long(candidates: Iterable[Candidate], profile: Profile, most: int) -> bool:
    """Whether any may have to be cut to show ``most`` chunks of it. Told from lengths alone, which takes no time."""
    return any(_may_be_cut(candidate.document.text, profile.passage_tokens, most) for candidate in candidates)


def _may_be_cut(text: str, tokens: int, most: int) -> bool:
    return len(text.encode("utf-8", "surrogatepass")) > tokens * (_BYTES_PER_TOKEN if most == 1 else 1)


class LongDocuments:
    """Cuts documents for profiles. Safe to use from several threads."""

    def __init__(self) -> None:
        self._cutters: dict[str, _Cutter] = {}

    def chunks(
        self, query: str, candidates: Sequence[Candidate], profile: Profile, most: int, *, whole: Collection[int] = ()
    ) -> Chunks:
        """At most ``most`` chunks of each candidate, in its own order.

        One that fits a prompt stays as it is, and so do those at the positions ``whole``.

        Tokenises what is long: for a thread of its own.
        """
        cutter = self._cutter(profile)
        cut = [
            [_uncut(candidate, owner)] if owner in whole else cutter.cut(candidate, owner, most)
            for owner, candidate in enumerate(candidates)
        ]
        worth = _Worth(query, [chunk.text for chunks in cut for chunk in chunks])
        nearest = [worth.nearest(chunks, most) for chunks in cut]
        shown = [chunk for chunks in nearest for chunk in sorted(chunks, key=lambda chunk: chunk.span)]
        return Chunks(
            tuple(chunk.candidate for chunk in shown),
            tuple(chunk.owner for chunk in shown),
            tuple(chunk.span for chunk in shown),
        )

    def _cutter(self, profile: Profile) -> _Cutter:
        if profile.name not in self._cutters:
            tokens = profile.passage_tokens
            self._cutters[profile.name] = _Cutter(Chunking(load_tokenizer(profile.tokenizer), tokens, tokens // 5))
        return self._cutters[profile.name]


class _Worth:
    """What a text is worth for a query: the sum over the query's words in it of the logarithm of how rare they are."""

    def __init__(self, query: str, texts: Sequence[str]) -> None:
        words = set(_words(query))
        self._held = {text: words.intersection(_words(text)) for text in texts}
        counts = Counter(word for text in texts for word in self._held[text])
        self._worth = {word: math.log1p(len(texts) / count) for word, count in counts.items()}

    def nearest(self, chunks: Sequence[_Chunk], most: int) -> Sequence[_Chunk]:
        """The ``most`` chunks that are worth most, the first of equals; see ``_LONG``."""
        if most == 1 and len(chunks) < _LONG:
            return chunks[:1]
        return sorted(chunks, key=lambda chunk: -self._of(chunk.text))[:most]

    def _of(self, text: str) -> float:
        return math.fsum(self._worth[word] for word in self._held[text])


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A candidate that stands for a ``span`` of its ``owner``'s text."""

    candidate: Candidate
    owner: int
    span: Span

    @property
    def text(self) -> str:
        return self.candidate.document.text


def _uncut(candidate: Candidate, owner: int) -> _Chunk:
    return _Chunk(candidate, owner, (0, len(candidate.document.text)))


class _Cutter:
    """Cuts documents for one profile, and remembers where."""

    def __init__(self, chunking: Chunking) -> None:
        self._chunking = chunking
        self._remembered = lru_cache(_REMEMBERED)(self._found)

    def cut(self, candidate: Candidate, owner: int, most: int) -> list[_Chunk]:
        """The chunks of a candidate, ``most`` of which are shown; itself where it fits a prompt."""
        document = candidate.document
        long = _may_be_cut(document.text, self._chunking.tokens, most)
        spans = self._spans(document.title, document.text) if long else ()
        if len(spans) <= 1:
            return [_uncut(candidate, owner)]
        texts = [document.text[start:end] for start, end in spans]
        parts = [replace(candidate, document=replace(document, text=text), tokens=None) for text in texts]
        return [_Chunk(part, owner, span) for part, span in zip(parts, spans, strict=True)]

    def _spans(self, title: str, text: str) -> tuple[Span, ...]:
        return (self._remembered if len(text) <= _REMEMBERED_CHARACTERS else self._found)(title, text)

    def _found(self, title: str, text: str) -> tuple[Span, ...]:
        return tuple(self._chunking.spans(text, title=title))


def _words(text: str) -> Iterator[str]:
    return (found[0] for found in _WORD.finditer(text.casefold()))
