from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.retrieval.embedding.wordpiece import WordPieces

VOCABULARY = ["dict", "reader", "un", "##believ", "##able", "cafe", "a", "##b", "iphone", "i", "phone", "http", "2"]


@pytest.fixture(scope="module")
def pieces() -> WordPieces:
    return WordPieces(VOCABULARY, max_characters=200)


def spelled(pieces: WordPieces, text: str) -> list[str]:
    return [VOCABULARY[row] for row in pieces.rows(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("dict reader", ["dict", "reader"]),
        ("DictReader", ["dict", "reader"]),
        ("dict_reader.DICT", ["dict", "reader", "dict"]),
        ("iPhone", ["iphone"]),
        ("HTTP2Reader", ["http", "2", "reader"]),
        ("unbelievable!", ["un", "##believ", "##able"]),
        ("Café, cafe\u0301", ["cafe", "cafe"]),
        ("a東b", ["a", "##b"]),
        ("東京 zzz ?! _ \x00 \ud800", []),
        ("", []),
    ],
)
def test_words_fall_into_their_longest_known_pieces(pieces: WordPieces, text: str, found: list[str]) -> None:
    assert spelled(pieces, text) == found


def test_only_so_much_is_read(pieces: WordPieces) -> None:
    assert len(pieces.rows("dict " * 100)) == 40


@given(st.text(st.characters(codec=None)))
def test_any_text_has_rows_of_the_vocabulary(text: str) -> None:
    rows = WordPieces(VOCABULARY, max_characters=1000).rows(text)
    assert all(0 <= row < len(VOCABULARY) for row in rows)


def test_a_word_of_any_length_is_read_in_bounded_time(pieces: WordPieces) -> None:
    assert len(pieces.rows("a" + "b" * 1_000_000)) == 64


def test_a_text_reads_the_same_the_second_time(pieces: WordPieces) -> None:
    text = "DictReader, cafe\u0301: (iPhone)" + "\u6771a" * 50
    once = pieces.rows(text).tolist()
    assert pieces.rows(text).tolist() == once != []
