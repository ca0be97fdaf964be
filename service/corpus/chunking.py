"""Cutting long texts into passages of so many tokens that overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer

Span = tuple[int, int]
"""Start and end of a piece of text, in characters."""


class Chunking:
    """How texts are cut: at most ``tokens`` a passage, of which about ``overlap`` repeat the end of the one before."""

    def __init__(self, tokenizer: Tokenizer, tokens: int = 200, overlap: int = 40) -> None:
        if not 0 <= overlap < tokens / 2:
            raise ValueError(f"an overlap of {overlap} is not less than half of {tokens} tokens")
        self.tokens = tokens
        self.overlap = overlap
        # A copy, because tokenizers come with a model's own truncation, which would lose the rest of the text.
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def pieces(self, text: str) -> Iterator[str]:
        """The passages of ``text``, in order; none of only white space."""
        for start, end in self.spans(text):
            if piece := text[start:end].strip():
                yield piece

    def spans(self, text: str, *, title: str = "") -> list[Span]:
        """Where the passages of ``text`` begin and end; each with the ``title`` before it, which takes at most half."""
        beside = min(len(self._offsets(title)), self.tokens // 2)
        return list(chunk_spans(text, self._offsets(text), self.tokens - beside, self.overlap))

    def _offsets(self, text: str) -> list[Span]:
        offsets: list[Span] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets


def chunk_spans(text: str, tokens: Sequence[Span], size: int, overlap: int) -> Iterator[Span]:
    """Spans of ``text``, each over at most ``size`` of its ``tokens``, that together cover all of them.

    Cuts fall between words as far as half a passage back; only a longer word, such as encoded data, is cut itself.
    """
    first = 0
    while first < len(tokens):
        last = min(first + size, len(tokens))
        if last < len(tokens):
            last = _word_start(text, tokens, last, lowest=first + size // 2)
        yield tokens[first][0], tokens[last - 1][1]
        if last == len(tokens):
            return
        first = _word_start(text, tokens, last - overlap, lowest=first + 1)


def _word_start(text: str, tokens: Sequence[Span], at: int, lowest: int) -> int:
    """The nearest token from ``at`` down to ``lowest`` that begins a word, else ``at``."""
    for token in range(at, lowest - 1, -1):
        start = tokens[token][0]
        if start == 0 or text[start - 1].isspace() or text[start].isspace():
            return token
    return at
