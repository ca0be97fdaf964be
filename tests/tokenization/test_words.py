"""Text read word by word gives the ids that the tokenizer gives for the whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from service.ranking.profile import find
from service.tokenization.sources import load_tokenizer
from service.tokenization.word_memory import Packed
from service.tokenization.words import WordReader, reads_by_word
from tests.ranking.families import byte_level_bpe, sentencepiece_bpe, unigram

RESERVED = ("bees", "##s")
WORDS = [
    "bees",
    "Bees,",
    "[SEP]",
    "na\u00efve",
    "\u0301",
    "\u6771\u4eac",
    "x" * 70,
    "\u212b",
    "\u0130\u03a3",
    "\ufb01n",
    "",
]


@cache
def shipped() -> Tokenizer:
    """The encoders' tokenizer as it reads untrusted text."""
    tokenizer = load_tokenizer(find("onepass-embedded").tokenizer)
    tokenizer.encode_special_tokens = True
    return tokenizer


@cache
def reader() -> WordReader:
    return WordReader(shipped(), mask())


@cache
def mask() -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    found = np.zeros(shipped().get_vocab_size(), dtype=np.bool_)
    found[[id_ for token, id_ in shipped().get_vocab().items() if token in RESERVED]] = True
    return found


def of_the_whole(text: str) -> list[int]:
    return [id_ for id_ in shipped().encode(text, add_special_tokens=False).ids if not mask()[id_]]


texts = st.lists(st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8"))).map(" ".join)


@given(texts)
def test_word_by_word_a_text_has_the_ids_of_the_whole(text: str) -> None:
    assert reads_by_word(shipped())
    assert reader().ids(text.split(" "), 10_000).tolist() == of_the_whole(text)


@given(texts, st.integers(0, 12))
def test_no_more_ids_than_the_budget(text: str, budget: int) -> None:
    ids = reader().ids(text.split(" "), budget)
    assert ids.tolist() == of_the_whole(text)[:budget]
    assert ids.dtype == np.uint32


def test_reserved_ids_are_no_part_of_the_budget() -> None:
    text = "bees make honey"
    assert reader().ids(text.split(" "), 2).tolist() == of_the_whole(text)[:2] == of_the_whole("make honey")


def test_words_far_behind_the_budget_are_not_looked_at() -> None:
    looked_at: list[str] = []

    class Watched(WordReader):
        def _read(self, word: str) -> Packed:
            looked_at.append(word)
            return super()._read(word)

    assert Watched(shipped(), mask()).ids(["honey", "bee", "hive", "wax"], 2).tolist() == of_the_whole("honey bee")[:2]
    assert looked_at == ["honey", "bee"]


@pytest.mark.parametrize("family", [sentencepiece_bpe, byte_level_bpe, unigram])
def test_tokenizers_whose_tokens_reach_over_blanks_are_asked_for_whole_texts(family: Callable[[], Tokenizer]) -> None:
    tokenizer = family()
    tokenizer.encode_special_tokens = True
    assert not reads_by_word(tokenizer)


def bert(normalizer: normalizers.Normalizer | None = None) -> Tokenizer:
    pieces = ["[UNK]", "a", "b", "A", "##b", "##B", "é", "-"]
    tokenizer = Tokenizer(models.WordPiece({piece: id_ for id_, piece in enumerate(pieces)}, unk_token="[UNK]"))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.mark.parametrize(
    "normalizer",
    [
        None,
        normalizers.Lowercase(),
        normalizers.BertNormalizer(),
        normalizers.BertNormalizer(lowercase=False),
        normalizers.BertNormalizer(lowercase=False, strip_accents=True),
        normalizers.BertNormalizer(strip_accents=False),
    ],
)
@given(text=st.text("aAbBé\u0301- \x07"))
def test_letters_are_read_as_the_normalizer_has_them(normalizer: normalizers.Normalizer | None, text: str) -> None:
    tokenizer = bert(normalizer)
    assert reads_by_word(tokenizer)
    words = WordReader(tokenizer, np.zeros(tokenizer.get_vocab_size(), dtype=np.bool_))
    assert words.ids(text.split(" "), 1_000).tolist() == tokenizer.encode(text, add_special_tokens=False).ids


def test_a_token_of_two_words_that_was_added_asks_for_whole_texts() -> None:
    tokenizer = bert()
    assert reads_by_word(tokenizer)
    tokenizer.add_tokens([AddedToken("a b", special=False)])
    assert tokenizer.encode("a b").ids == [tokenizer.token_to_id("a b")]
    assert not reads_by_word(tokenizer)


def test_special_tokens_that_are_looked_for_ask_for_whole_texts() -> None:
    tokenizer = bert()
    tokenizer.encode_special_tokens = False
    assert not reads_by_word(tokenizer)


def test_letters_that_change_each_other_ask_for_whole_texts() -> None:
    tokenizer = bert()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace("a b", "b")])
    assert not reads_by_word(tokenizer)
