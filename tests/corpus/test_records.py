from __future__ import annotations

import pytest

from service.corpus.records import content_id, document_from
from service.domain import Document


def test_the_named_fields_are_taken_and_the_rest_becomes_metadata() -> None:
    record = {"_id": "7", "title": "Tides", "text": "The moon pulls.", "year": 1687, "metadata": {"author": "Newton"}}
    assert document_from(record) == Document("7", "The moon pulls.", "Tides", {"year": 1687, "author": "Newton"})


def test_ids_may_be_numbers_and_zero_is_one() -> None:
    assert document_from({"id": 0, "text": "a"}).id == "0"


def test_without_an_id_the_content_decides_it() -> None:
    first = document_from({"text": "same", "title": "t"})
    assert first.id == document_from({"text": "same", "title": "t", "lang": "en"}).id == content_id("t", "same")
    assert first.id != document_from({"text": "t", "title": "same"}).id


def test_a_lone_surrogate_still_has_a_content_id() -> None:
    assert len(content_id("", "\ud800")) == 16


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"title": "t"}, "no 'text'"),
        ({"text": 3}, "'text' must be a string"),
        ({"text": "a", "title": ["t"]}, "'title' must be a string"),
        ({"text": "a", "id": 1.5}, "the id must be"),
        ({"text": "a", "id": True}, "the id must be"),
        ({"text": "a", "id": "b\0"}, "no encoding carries"),
        ({"text": "a", "id": "\ud83c"}, "no encoding carries"),
        ({"text": "a", "metadata": "m"}, "'metadata' must be an object"),
    ],
)
def test_a_record_that_is_no_document_says_why(record: dict[str, object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        document_from(record)
