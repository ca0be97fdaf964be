from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.described import Described
from tests.api.dialects.documented import DOCUMENTED, ERRORS, Documented


def holds(answer: Any, field: str) -> bool:
    """Whether every place that ``field`` means has a value."""
    name, _, rest = field.partition(".")
    if name == "[]":
        return bool(answer) and all(holds(item, rest) for item in answer)
    if name.endswith("[]"):
        items = answer.get(name.removesuffix("[]"))
        return bool(items) and all(holds(item, rest) for item in items)
    value = answer.get(name)
    return value is not None and (not rest or holds(value, rest))


@pytest.mark.parametrize("documented", DOCUMENTED, ids=str)
def test_what_a_reference_shows_is_taken_and_answered(service: httpx.Client, documented: Documented) -> None:
    described = Described(service)
    assert described.accepts(documented.path, documented.body)

    response = service.post(documented.path, json=documented.body)

    assert response.status_code == 200, response.text
    assert described.tells_of(response)
    assert [field for field in documented.answer if not holds(response.json(), field)] == []


@pytest.mark.parametrize(("path", "body", "fields"), ERRORS)
def test_errors_are_told_where_a_reference_says(
    service: httpx.Client, path: str, body: dict[str, Any], fields: tuple[str, ...]
) -> None:
    response = service.post(path, json=body)

    assert response.status_code == 422
    assert Described(service).tells_of(response)
    assert all(response.json()[field] for field in fields)
