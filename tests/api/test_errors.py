from __future__ import annotations

import inspect

from service import errors
from service.api.errors import STATUS, field_path, status_of
from service.api.schemas.unions import Taken


def error_classes() -> list[type[errors.OnepassError]]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.OnepassError)]


def test_every_error_of_the_tree_has_a_status() -> None:
    for kind in error_classes():
        error = kind("said", field="query") if issubclass(kind, errors.RequestError) else kind("said")
        assert 400 <= status_of(error) < 600


def test_the_callers_faults_are_4xx_and_ours_are_5xx() -> None:
    for kind, status in STATUS.items():
        callers_fault = issubclass(kind, errors.RequestError | errors.Overloaded)
        assert (status < 500) == callers_fault, kind


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    for kind in error_classes():
        assert kind.__name__ in errors.__doc__


def test_a_field_is_named_as_the_caller_spelt_it() -> None:
    assert field_path(("body", "documents", 3, "text")) == "documents[3].text"
    assert field_path(("body", "query")) == "query"
    assert field_path(("body",)) == "body"
    assert field_path(("body", Taken.COHERE, "documents", 3)) == "documents[3]"
    assert field_path(("body", Taken.NATIVE)) == "body"
