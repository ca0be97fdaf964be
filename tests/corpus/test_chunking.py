from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from service.corpus.chunking import Chunking, chunk_spans


def character_tokens(text: str) -> list[tuple[int, int]]:
    """Three characters a token, never across white space: long words are several tokens."""
    return [
        (start, min(start + 3, word.end()))
        for word in re.finditer(r"\S+", text)
        for start in range(word.start(), word.end(), 3)
    ]


@given(text=st.text(alphabet="ab \n", max_size=400), size=st.integers(3, 20), data=st.data())
def test_spans_cover_every_token_within_the_size(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, (size - 1) // 2))
    tokens = character_tokens(text)
    spans = list(chunk_spans(text, tokens, size, overlap))
    for start, end in spans:
        assert sum(start <= a and b <= end for a, b in tokens) <= size
    for a, b in tokens:
        assert any(start <= a and b <= end for start, end in spans)
    assert spans == sorted(set(spans))


def test_cuts_fall_between_words_and_the_end_of_one_begins_the_next() -> None:
    text = "one two three four five six seven"
    words = [(word.start(), word.end()) for word in re.finditer(r"\S+", text)]
    pieces = [text[start:end] for start, end in chunk_spans(text, words, 4, 1)]
    assert pieces == ["one two three four", "four five six seven"]


def test_a_word_that_fits_in_a_passage_is_not_cut() -> None:
    text = "aaa bbb cccccc ddd"
    pieces = [text[start:end] for start, end in chunk_spans(text, character_tokens(text), 3, 0)]
    assert pieces == ["aaa bbb", "cccccc ddd"]


def test_a_models_truncation_loses_nothing_and_the_tokenizer_stays_as_it_was() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_truncation(5)
    pieces = list(Chunking(tokenizer, tokens=10, overlap=0).pieces(" ".join(map(str, range(95)))))
    assert [len(piece.split()) for piece in pieces] == [10] * 9 + [5]
    assert tokenizer.truncation is not None


def test_an_overlap_of_half_a_passage_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap of 5"):
        Chunking(Tokenizer(models.WordLevel({})), tokens=10, overlap=5)
