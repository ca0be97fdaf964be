from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.ranking.template import Place, Template, pieces


def test_pieces_keep_the_order_and_plain_braces() -> None:
    assert pieces("{query}a {1} {}{text}") == [Place.QUERY, "a {1} {}", Place.TEXT]


@pytest.mark.parametrize(
    ("prefix", "passage", "suffix", "problem"),
    [
        ("{quey}", "{label}{text}", "{query}", "{quey} cannot stand here"),
        ("{text}", "{label}{text}", "{query}", "{text} cannot stand here"),
        ("{query}", "{label}", "end", "needs {text} once"),
        ("{query}", "{label}{text}{text}", "end", "needs {text} once"),
        ("start", "{label}{text}", "end", "needs {query}"),
        ("{query}", "{label}{text}", "", "at least 1 character"),
    ],
)
def test_a_template_that_cannot_work_is_refused(prefix: str, passage: str, suffix: str, problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Template(prefix=prefix, passage=passage, suffix=suffix)
    assert problem in str(refused.value)
