"""A prompt template as data: trusted text with places for the query, the passages and their labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_PLACE = re.compile(r"(\{[a-z_]+\})")


class Place(StrEnum):
    """What a template leaves open. Any other ``{name}`` in it is a mistake; other braces are plain text."""

    QUERY = "{query}"
    COUNT = "{count}"
    INSTRUCTION = "{instruction}"
    ASKED = "{asked}"
    EXAMPLES = "{examples}"
    PASSAGES = "{passages}"
    ANSWER = "{answer}"
    LABEL = "{label}"
    TEXT = "{text}"


def pieces(template: str) -> list[str]:
    """``template`` as plain text and places, in order, without empty pieces."""
    return [piece for piece in _PLACE.split(template) if piece]


def _only(*allowed: Place) -> AfterValidator:
    def check(template: str) -> str:
        strange = sorted(set(_PLACE.findall(template)) - set(allowed))
        if strange:
            raise ValueError(f"{', '.join(strange)} cannot stand here, only {', '.join(allowed)}")
        return template

    return AfterValidator(check)


def without_places(text: str) -> str:
    """``text``, if nothing in it would be taken for a place.

    Raises:
        ValueError: something would.
    """
    if _PLACE.search(text):
        raise ValueError(f"{_PLACE.findall(text)[0]} would be taken for a place of the template")
    return text


Frame = Annotated[str, _only(Place.QUERY, Place.COUNT, Place.INSTRUCTION, Place.EXAMPLES)]
"""Text before the passages; ``{examples}`` is where the profile's examples go."""

ExampleTemplate = Annotated[str, _only(Place.QUERY, Place.PASSAGES, Place.ANSWER)]
"""Text of one example, ``{passages}`` being its passages as ``passage`` shows them."""

Ending = Annotated[str, _only(Place.QUERY, Place.COUNT, Place.INSTRUCTION, Place.ASKED)]
"""Text after the passages; ``{asked}`` is the label of the one that is asked about."""

PassageTemplate = Annotated[str, _only(Place.LABEL, Place.TEXT)]
"""Text of one passage: ``{text}`` once, ``{label}`` wherever the model is to see the passage's label."""


class Template(BaseModel):
    """``prefix``, then ``passage`` for each passage shown, then ``suffix``; what comes next is the model's answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: Frame = ""
    passage: PassageTemplate
    example: ExampleTemplate = ""
    suffix: Ending = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.passage.count(Place.TEXT) != 1:
            raise ValueError("passage needs {text} once")
        if Place.QUERY not in self.prefix + self.suffix:
            raise ValueError("prefix or suffix needs {query}")
        return self


def lead(templates: Iterable[str], place: Place) -> str:
    """The blank that stands before ``place`` wherever it occurs, or nothing.

    A tokenizer puts a blank and the word behind it into one token: such a blank belongs to what fills the place.
    """
    before = [each for template in templates for each in template.split(place)[:-1]]
    return " " if before and all(each.endswith(" ") for each in before) else ""


def filled(template: str, values: Iterable[tuple[Place, str]]) -> str:
    """``template`` with trusted values in their places; places without a value stay."""
    for place, value in values:
        template = template.replace(place, value)
    return template
