from __future__ import annotations

import pytest

from service.domain import Document
from service.encoders.encoders import PIECE_TOKENS, Encoders
from service.retrieval.embedding.embedder import passage_text
from service.retrieval.embedding.pieces import MOST_PIECES, OVERLAP, TITLE_TOKENS, pieces


@pytest.fixture(scope="module")
def encoders() -> Encoders:
    return Encoders()


def numbered(count: int, title: str = "") -> Document:
    """A document of so many different words, which the vocabulary holds: each is one token."""
    return Document("d", " ".join(str(1900 + number % 120) for number in range(count)), title)


def cut(encoders: Encoders, document: Document) -> list[list[int]]:
    (found,) = pieces(encoders, [document])
    return [piece.tolist() for piece in found]


@pytest.mark.parametrize("count", [0, 1, PIECE_TOKENS - 1, PIECE_TOKENS])
def test_what_fits_is_one_piece(encoders: Encoders, count: int) -> None:
    (piece,) = cut(encoders, numbered(count))
    assert len(piece) == count
    assert piece == encoders.tokens([passage_text(numbered(count))])[0].tolist()


def test_the_first_piece_is_what_a_request_reads(encoders: Encoders) -> None:
    documents = [numbered(1_000, "Years"), Document("x", "", "A title"), Document("y", "blank " + " " * 9_000 + "end")]
    read = encoders.tokens([passage_text(document) for document in documents])
    assert [own[0].tolist() for own in pieces(encoders, documents)] == [ids.tolist() for ids in read]


def test_further_pieces_repeat_the_title_and_the_end_of_the_one_before(encoders: Encoders) -> None:
    document = numbered(600, "the years of two centuries")
    (title,) = encoders.tokens([document.title])
    first, second, third = cut(encoders, document)
    assert len(first) == len(second) == PIECE_TOKENS
    assert second[: len(title)] == third[: len(title)] == title.tolist()
    assert second[len(title) :][:OVERLAP] == first[-OVERLAP:]
    assert third[len(title) :][:OVERLAP] == second[-OVERLAP:]
    whole = first + second[len(title) + OVERLAP :] + third[len(title) + OVERLAP :]
    assert whole == encoders.tokens([passage_text(document)], 10_000)[0].tolist()


def test_no_piece_holds_only_what_the_one_before_ends_with(encoders: Encoders) -> None:
    room = PIECE_TOKENS - OVERLAP
    assert [len(piece) for piece in cut(encoders, numbered(PIECE_TOKENS + room))] == [PIECE_TOKENS] * 2
    assert [len(piece) for piece in cut(encoders, numbered(PIECE_TOKENS + room + 1))] == [*[PIECE_TOKENS] * 2, 33]


@pytest.mark.parametrize(("title", "read"), [("", 3_584), ("long " * 100, 2_624)])
def test_pieces_are_bounded(encoders: Encoders, title: str, read: int) -> None:
    found = cut(encoders, numbered(20_000, title))
    titles = min(len(title.split()), TITLE_TOKENS)
    assert [len(piece) for piece in found] == [PIECE_TOKENS] * MOST_PIECES
    assert PIECE_TOKENS + (MOST_PIECES - 1) * (PIECE_TOKENS - titles - OVERLAP) == read
