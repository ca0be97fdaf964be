"""What clients of other services send: nulls for what they leave open, text for booleans and numbers.

A field that stands for something that cannot be done here is ``Refused``: absent or null is fine, any value is an error
that names it. Nothing is ever accepted and ignored.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _refuse(value: Any) -> None:
    if value is not None:
        raise ValueError("cannot be done here; leave it out")


class Taken(StrEnum):
    """Which kind of body validation took a body for, where a path takes two; no field is called like that."""

    NATIVE = "(native)"
    COHERE = "(cohere)"
    TEI = "(tei)"


Refused = Annotated[Any, AfterValidator(_refuse)]
Flag = bool | None
"""A boolean, a word for one such as ``"true"``, or null for the default."""

Count = Annotated[int, Field(ge=1)] | None
"""A number from 1, the same as text, or null for the default."""

Priority = Annotated[int, Field(ge=-100, le=999)] | None
"""Lower is sooner, as Cohere and vLLM have it: the opposite of our own."""


class LenientBody(BaseModel):
    """A request body of another service's dialect: a field that it does not know is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
