"""What clients of other services send: nulls for what they leave open, text for booleans and numbers.

A field that stands for something that cannot be done here is ``Refused``: absent or null is fine, any value is an error
that names it. Nothing is ever accepted and ignored.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from service.api.schemas.native import Body


def _refuse(value: Any) -> None:
    if value is not None:
        raise ValueError("cannot be done here; leave it out")


Refused = Annotated[Any, AfterValidator(_refuse), WithJsonSchema({"type": "null"})]
Flag = bool | None
"""A boolean, a word for one such as ``"true"``, or null for the default."""

Count = Annotated[int, Field(ge=1)] | None
"""A number from 1, the same as text, or null for the default."""

Priority = Annotated[int, Field(ge=-100, le=999)] | None
"""Lower is sooner, as Cohere and vLLM have it: the opposite of our own."""


class LenientBody(Body):
    """A request body of another service's dialect."""

    model_config = ConfigDict(populate_by_name=True)
