"""Token ids of text word by word, with those of words that were read before remembered.

The tokenizers of BERT and its kind never let a token reach over a blank or a mark of punctuation: the ids of a text are
those of its words and marks, one after the other. Most words of a passage have been read before, in another passage
(``loadtest/tokenising.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import Model
from tokenizers.normalizers import BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer

from service.domain import TokenIds
from service.tokenization.word_memory import BYTES, Packed, WordMemory, packed, unpacked

_PART = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]")
"""A word or a mark of printable ASCII, where no other rule is needed to tell the two apart."""
_REMEMBERED = 65_536
"""So many words, and parts of words, take at most about 30 MB."""


def reads_by_word(tokenizer: Tokenizer) -> bool:
    """Whether the ids of a text are those of its words and marks.

    So it is where letters are normalised one by one, words and marks are what the model is shown, and no token that was
    added to the vocabulary is looked for in the text as it stands.
    """
    by_letter = tokenizer.normalizer is None or isinstance(tokenizer.normalizer, BertNormalizer | Lowercase)
    parted = isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
    added = tokenizer.get_added_tokens_decoder().values()
    return by_letter and parted and tokenizer.encode_special_tokens and all(token.special for token in added)


class WordReader:
    """Reads text with ``tokenizer``, which ``reads_by_word``, and leaves the ids of the mask ``reserved`` out.

    Safe to use from several threads.
    """

    def __init__(self, tokenizer: Tokenizer, reserved: NDArray[np.bool_]) -> None:
        self._tokenizer = tokenizer
        self._model: Model = tokenizer.model
        self._lowers = tokenizer.normalizer is not None and getattr(tokenizer.normalizer, "lowercase", True)
        self._reserved = frozenset(np.flatnonzero(reserved).tolist())
        self._words = WordMemory(self._read, _REMEMBERED)
        # what stands between two blanks often differs from others in its marks alone
        self._parts = WordMemory(self._cut, _REMEMBERED)

    def ids(self, words: Sequence[str], most: int) -> TokenIds:
        """The first ``most`` ids of a text, shape [tokens], by what stands between its blanks.

        Words behind the first ``most`` are looked at only where those before them give too few.
        """
        found, step = b"", max(1, most)
        for start in range(0, len(words), step):  # once, but for words that are reserved or hold nothing to read
            found += self._words.of(words[start : start + step])
            if len(found) >= most * BYTES:
                break
        return unpacked(found)[:most]

    def _read(self, word: str) -> Packed:
        """The ids of what stands between two blanks."""
        if word.isascii() and word.isprintable():
            parts = _PART.findall(word)
            return self._parts[word] if parts == [word] else self._parts.of(parts)
        return self._tokenised(word)

    def _cut(self, part: str) -> Packed:
        """The ids of a part, of which only the model has something to tell: a fifth of the whole tokenizer's time."""
        return self._kept(token.id for token in self._model.tokenize(part.lower() if self._lowers else part))

    def _tokenised(self, word: str) -> Packed:
        (encoding,) = self._tokenizer.encode_batch_fast([word], add_special_tokens=False)
        return self._kept(encoding.ids)

    def _kept(self, ids: Iterable[int]) -> Packed:
        return packed(id_ for id_ in ids if id_ not in self._reserved)
