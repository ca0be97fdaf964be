"""Text to a model's own tokens: trusted text may spell special tokens, untrusted text never becomes one.

A prompt is joined from pieces that are tokenised apart. A tokenizer may begin a text otherwise than it goes on
(sentencepiece puts a blank first), so a piece that stands behind another one is tokenised behind a line break, which is
then taken away. A piece that a tokenizer joins with the break, as one that itself begins with one, is tokenised alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from service.domain import TokenIds
from service.errors import ProfileError
from service.tokenization.sanitize import RULES, Sanitizer
from service.tokenization.sources import FILE_NAME, TokenizerSource, parsed, tokenizer_json
from service.tokenization.words import WordReader, reads_by_word

__all__ = ["CHARACTERS_PER_TOKEN", "FILE_NAME", "TokenEncoder"]

CHARACTERS_PER_TOKEN = 32
"""Only so many characters for each token of a budget are looked at: a long text costs what a budget's worth costs."""

_BATCH = 256  # texts tokenised at once: the tokenizer keeps offsets and strings of each until the batch is done
_FEW = 32
_QUICK, _QUICK_BY_WORD = 4_096, 12_288
_BEFORE = "\n"


class TokenEncoder:
    """A tokenizer that knows which text to trust. Safe to use from several threads.

    ``identifiers`` are a profile's labels and whatever else no passage may spell; together with the tokenizer's
    special tokens they are guarded (see ``sanitize.py``). ``fingerprint`` changes whenever the same text could give
    other ids.

    Raises:
        ProfileError: the tokenizer is missing or is none.
    """

    def __init__(self, source: TokenizerSource, identifiers: Sequence[str]) -> None:
        content = tokenizer_json(source)
        self._trusting = parsed(source, content)
        self._wary = parsed(source, content)
        self._wary.encode_special_tokens = True
        self._before = self._ids(_BEFORE)
        added = self._trusting.get_added_tokens_decoder()
        self._sanitize = Sanitizer([*identifiers, *(token.content for token in added.values())])
        self._reserved = self._mask(added)
        self._words = WordReader(self._wary, self._reserved) if reads_by_word(self._wary) else None
        described = "\0".join((RULES, str(CHARACTERS_PER_TOKEN), *identifiers, content))
        self.fingerprint = hashlib.sha256(described.encode()).hexdigest()

    def trusted(self, text: str) -> TokenIds:
        """Ids of text that may spell special tokens and begins a prompt, shape [tokens]. Nothing is added to it."""
        return _array(self._ids(text))

    def continuing(self, text: str) -> TokenIds:
        """Ids of text that may spell special tokens and stands behind other text, shape [tokens]."""
        ids = self._behind(self._ids(_BEFORE + text))
        return _array(self._ids(text) if ids is None else ids)

    def untrusted(self, texts: Sequence[str], budget: int, *, lead: str = "") -> list[TokenIds]:
        """Ids of each text with ``lead`` before it and behind other text: at most ``budget``, none of them reserved."""
        return [ids for batch in _batches(texts) for ids in self._untrusted_batch(batch, budget, lead)]

    def single(self, token: str) -> int:
        """The id of a text that the vocabulary holds as one token.

        Raises:
            ProfileError: it does not.
        """
        found: int | None = self._trusting.token_to_id(token)
        if found is None:
            raise ProfileError(f"label {token!r} is not a single token of this tokenizer")
        return found

    def following(self, text: str, label: str) -> int:
        """The id of ``label`` where it stands behind the trusted ``text``.

        A vocabulary may spell a letter several ways, such as ``A`` and ``▁A``; this is the one that belongs there.

        Raises:
            ProfileError: there it is no token, several tokens, or one with the end of ``text`` in it.
        """
        before, both = self.continuing(text).tolist(), self.continuing(text + label).tolist()
        if len(both) != len(before) + 1 or both[:-1] != before or both[-1] == self._unknown:
            found = " ".join(map(repr, map(self.spelling, both[-3:])))
            raise ProfileError(f"label {label!r} is not a single token behind {text[-16:]!r}, which ends as {found}")
        return int(both[-1])

    def spelling(self, token: int) -> str:
        """A token as the vocabulary spells it."""
        return str(self._trusting.id_to_token(token))

    @property
    def quick_characters(self) -> int:
        """Characters of untrusted text that take about a millisecond (``loadtest/tokenising.py``)."""
        return _QUICK if self._words is None else _QUICK_BY_WORD

    @property
    def opening(self) -> tuple[int, ...]:
        """What the tokenizer by itself puts before every text, such as a begin-of-text token."""
        plain, full = self._ids("a"), self._trusting.encode("a").ids
        starts = (start for start in range(len(full)) if full[start : start + len(plain)] == plain)
        return tuple(full[: next(starts, 0)])

    @property
    def _unknown(self) -> int | None:
        """The id that stands for characters the tokenizer does not know, where there is one."""
        token = getattr(self._trusting.model, "unk_token", None)
        return None if token is None else self._trusting.token_to_id(token)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._trusting.encode(text, add_special_tokens=False).ids
        return ids

    def _behind(self, ids: list[int]) -> list[int] | None:
        """``ids`` of a text behind a line break without those of the break; ``None`` if they cannot be told apart."""
        cut = len(self._before)
        return ids[cut:] if ids[:cut] == self._before else None

    def _untrusted_batch(self, texts: Sequence[str], budget: int, lead: str) -> Iterable[TokenIds]:
        seen = [text[: budget * CHARACTERS_PER_TOKEN] for text in texts]
        if self._words is None:
            return self._whole([lead + self._sanitize(text) for text in seen], budget)
        # nothing before a text would change its ids, nor would a blank that leads it
        return [self._words.ids(self._sanitize.words(text), budget) for text in seen]

    def _whole(self, texts: Sequence[str], budget: int) -> Iterator[TokenIds]:
        encodings = self._encodings([_BEFORE + text for text in texts])
        for text, encoding in zip(texts, encodings, strict=True):
            behind = self._behind(encoding.ids)
            ids = _array(self._wary.encode(text, add_special_tokens=False).ids if behind is None else behind)
            yield ids[~self._reserved[ids]][:budget]

    def _encodings(self, texts: Sequence[str]) -> Sequence[Encoding]:
        """A few texts one after the other: waking the tokenizer's threads for them takes longer."""
        if len(texts) <= _FEW:
            return [self._wary.encode_batch_fast([text], add_special_tokens=False)[0] for text in texts]
        return self._wary.encode_batch_fast(texts, add_special_tokens=False)

    def _mask(self, added: Collection[int]) -> NDArray[np.bool_]:
        """Which ids never stand for untrusted text: all added tokens, but the one for unknown characters."""
        mask = np.zeros(max([self._trusting.get_vocab_size(), *(id_ + 1 for id_ in added)]), dtype=np.bool_)
        mask[list(added)] = True
        if self._unknown is not None:
            mask[self._unknown] = False
        return mask


def _array(ids: Sequence[int]) -> TokenIds:
    return np.array(ids, dtype=np.uint32)


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH))
