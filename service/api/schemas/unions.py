"""Which kind of value a body or a field was taken for, where more than one may stand.

Only errors of that kind are told then, and errors name the field without the kind.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Taken(StrEnum):
    """The kinds; no field is called like that."""

    NATIVE = "(native)"
    COHERE = "(cohere)"
    TEI = "(tei)"
    TEXT = "(text)"
    OBJECT = "(object)"
    LIST = "(list)"


def text_or_object(value: Any) -> Taken:
    """What is no object is meant to be a text."""
    return Taken.OBJECT if isinstance(value, dict) else Taken.TEXT


def text_or_list(value: Any) -> Taken:
    """What is no list is meant to be a text."""
    return Taken.LIST if isinstance(value, list) else Taken.TEXT
