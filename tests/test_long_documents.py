"""Which chunks of a long document are ranked, and what becomes of the document; with a real tokenizer and profile."""

from __future__ import annotations

import pytest

from service.domain import Candidate, Document, PassageTokens, Ranking, RelevantSpan, WindowReading
from service.long_documents import Chunks, LongDocuments, any_long, uncut
from service.ranking.profile import find
from service.ranking.prompt import PromptBuilder
from tests.reranking import PROFILES

BUILDER = PromptBuilder(find("listwise", PROFILES))
FILLER = "the weather was fine and the people went out for a walk along the river again . " * 30
LONG = FILLER + "Bees make honey from nectar. " + FILLER


def candidate(name: str, text: str, title: str = "") -> Candidate:
    return Candidate(Document(name, text, title), 1, 1.0)


def chunks(query: str, *candidates: Candidate, most: int = 1) -> Chunks:
    return LongDocuments().chunks(query, candidates, BUILDER.profile, most)


def test_the_chunk_with_the_querys_rare_words_stands_for_the_document() -> None:
    found = chunks("how do the bees make honey", candidate("a", "short"), candidate("b", LONG, "Nature"))

    assert found.owners == (0, 1)
    short, chunk = found.candidates
    assert short.document.text == "short"
    assert "Bees make honey" in chunk.document.text
    assert (chunk.document.id, chunk.document.title) == ("b", "Nature")
    start, end = found.spans[1]
    assert LONG[start:end] == chunk.document.text


def test_a_chunk_fits_what_a_prompt_shows_with_its_title() -> None:
    found = chunks("honey", candidate("b", LONG, "The title of all this"), most=8)

    assert len(found.candidates) == 8
    assert BUILDER.overlong([each.document for each in found.candidates]) is None


def test_of_a_document_cut_in_two_the_beginning_is_shown() -> None:
    text = f"{FILLER[: len(FILLER) // 4]} Bees make honey from nectar."

    assert len(chunks("honey", candidate("a", text), most=2).spans) == 2
    assert [start for start, _ in chunks("honey", candidate("a", text)).spans] == [0]


def test_a_document_is_cut_at_the_same_places_when_it_comes_again() -> None:
    cutting, asked = LongDocuments(), (candidate("b", LONG, "Nature"), candidate("c", LONG * 20, "Nature"))

    first, again = (cutting.chunks("honey", asked, BUILDER.profile, 2) for _ in range(2))

    assert first == again
    assert cutting.chunks("honey", (candidate("b", LONG, "Bees, " * 20),), BUILDER.profile, 2).spans != first.spans[:2]


def test_chunks_stand_in_the_documents_order_and_the_first_where_the_query_tells_nothing() -> None:
    found = chunks("submarine", candidate("b", LONG), most=3)

    assert found.spans[0][0] == 0
    assert list(found.spans) == sorted(found.spans)


def test_tokens_of_an_index_are_kept_where_nothing_is_cut() -> None:
    (tokens,) = BUILDER.encode([Document("a", "short")])
    kept = Candidate(Document("a", "short"), 1, 1.0, tokens)
    cut = Candidate(
        Document("b", LONG), 2, 0.5, PassageTokens(tokens.encoding, BUILDER.encode([Document("b", LONG)])[0].ids)
    )

    short, chunk = chunks("honey", kept, cut).candidates
    assert short is kept
    assert chunk.tokens is None


def test_a_document_ranks_by_its_best_chunk() -> None:
    pieces = Chunks((candidate("a", ""),) * 4, (0, 1, 1, 2), ((0, 5), (0, 9), (9, 20), (0, 3)))
    reading = WindowReading(1, (0, 1, 2, 3), (0.0, -1.0, 2.0, 1.0))
    ranking = Ranking((2, 3, 0, 1), (0.9, 0.7, 0.5, 0.2), "p", "m", "single", readings=(reading,))

    whole = pieces.whole(ranking)

    assert (whole.order, whole.scores) == ((1, 2, 0), (0.9, 0.7, 0.5))
    assert whole.spans == (
        (RelevantSpan(9, 20, 0.9), RelevantSpan(0, 9, 0.2)),
        (RelevantSpan(0, 3, 0.7),),
        (RelevantSpan(0, 5, 0.5),),
    )
    assert whole.readings[0].window == (0, 1, 1, 2)


@pytest.mark.parametrize("text", ["", " \n "])
def test_a_text_of_nothing_is_a_document_all_the_same(text: str) -> None:
    assert chunks("honey", candidate("a", text)).spans == ((0, len(text)),)


def test_whether_anything_is_cut_is_told_from_lengths() -> None:
    profile, most_shown = BUILDER.profile, 78
    ascii_text, wide = "a " * 3 * most_shown, "蜂" * 2 * most_shown  # six bytes a token

    assert profile.passage_tokens == most_shown
    for text in (ascii_text, wide):
        asked = (candidate("a", "short"), candidate("b", text))
        longer = (candidate("b", text + "."),)
        assert not any_long(asked, profile, 1)
        assert any_long(longer, profile, 1)
        assert any_long(asked, profile, 2)
        ranking = Ranking((1, 0), (0.7, 0.4), "p", "m", "s")
        assert uncut(ranking, asked) == chunks("honey", *asked).whole(ranking)


def test_no_documents_are_no_chunks() -> None:
    assert chunks("honey").candidates == ()
