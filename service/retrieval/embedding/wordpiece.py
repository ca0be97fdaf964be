"""Text to vocabulary rows, fast enough that pooling, not tokenising, is the larger half of an embedding.

Natural text repeats itself, so whatever stands between two spaces is cut into pieces once and looked up ever after: on
60-word passages one thread does many times what a general tokenizer does on two cores. Punctuation is dropped. Case is
kept until a word is cut, so that ``DictReader`` can fall into ``dict`` and ``reader``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain

from service.tokenization.word_memory import Numbers, Packed, WordMemory, packed, unpacked

_WORD = re.compile(r"[^\W_]+")
_CASE_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^A-Za-z]+")
_LONGEST_WORD = 64


class WordPieces:
    """Cuts words into the longest known pieces (WordPiece, arXiv 1609.08144); what it does not know it leaves out."""

    def __init__(self, pieces: Sequence[str], max_characters: int) -> None:
        self._vocabulary = {piece: row for row, piece in enumerate(pieces)}
        self._longest_piece = max(map(len, pieces), default=0)
        self._max_characters = max_characters
        self._rows_of_chunk = WordMemory(self._chunk)
        self._rows_of_word = WordMemory(self._word)  # many chunks differ in their punctuation alone

    def rows(self, text: str) -> Numbers:
        """Vocabulary rows of a text's first ``max_characters``, shape [pieces], in reading order; maybe none."""
        chunks = text[: self._max_characters].split()
        return unpacked(self._rows_of_chunk.of(chunks))

    def _chunk(self, chunk: str) -> Packed:
        """Rows of what stands between two spaces."""
        words = _WORD.findall(chunk if chunk.isascii() else unicodedata.normalize("NFKC", chunk))
        return self._rows_of_word.of(words)

    def _word(self, word: str) -> Packed:
        plain = _without_accents(word[:_LONGEST_WORD])
        whole = self._vocabulary.get(plain.lower())
        if whole is not None:
            return packed([whole])
        parts = _CASE_PARTS.findall(plain) if plain.isascii() else [plain]
        return packed(chain.from_iterable(self._longest_pieces(part.lower()) for part in parts))

    def _longest_pieces(self, word: str) -> list[int]:
        rows: list[int] = []
        start = 0
        while start < len(word):
            for end in range(min(len(word), start + self._longest_piece), start, -1):
                row = self._vocabulary.get(word[start:end] if start == 0 else f"##{word[start:end]}")
                if row is not None:
                    rows.append(row)
                    start = end
                    break
            else:
                start += 1
        return rows


def _without_accents(word: str) -> str:
    if word.isascii():
        return word
    return "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
