"""Token ids of text word by word, with those of words that were read before remembered.

The tokenizers of BERT and its kind never let a token reach over a blank or a mark of punctuation: the ids of a text are
those of its words and marks, one after the other. Most words of a passage have been read before, in another passage
(``loadtest/tokenising.py``).
"""

from __future__ import annotations

import re
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer

from service.domain import TokenIds
from service.word_memory import Numbers, WordMemory

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
        self._reserved = frozenset(np.flatnonzero(reserved).tolist())
        self._words = WordMemory(self._read, _REMEMBERED)
        # what stands between two blanks often differs from others in its marks alone
        self._parts = WordMemory(self._tokenised, _REMEMBERED)

    def ids(self, text: str, most: int) -> TokenIds:
        """The first ``most`` ids of ``text``, shape [tokens]; words behind them are not looked at."""
        return np.fromiter(islice(self._words.of(text.split(" ")), most), dtype=np.uint32)

    def _read(self, word: str) -> Numbers:
        """The ids of what stands between two blanks."""
        if word.isascii() and word.isprintable():
            parts = _PART.findall(word)
            return self._parts[word] if parts == [word] else tuple(self._parts.of(parts))
        return self._tokenised(word)

    def _tokenised(self, word: str) -> Numbers:
        (encoding,) = self._tokenizer.encode_batch_fast([word], add_special_tokens=False)
        return tuple(id_ for id_ in encoding.ids if id_ not in self._reserved)
