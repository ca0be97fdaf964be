"""vLLM's score bodies, and the list of models that clients of OpenAI's form ask for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, Discriminator, Field, Tag

from service.api.schemas.cohere import Usage
from service.api.schemas.lenient import Flag, LenientBody, Priority
from service.api.schemas.native import SOME, Text
from service.api.schemas.unions import Taken, text_or_list

_Texts = Annotated[
    Annotated[Text, Tag(Taken.TEXT)] | Annotated[list[Text], SOME, Tag(Taken.LIST)], Discriminator(text_or_list)
]


class ScoreBody(LenientBody):
    """A query and the texts to score for it. All scores of an answer belong to one query."""

    model: Text | None = Field(None, description="a profile, an alias, or any name; see docs/clients.md")
    text_1: _Texts = Field(
        validation_alias=AliasChoices("text_1", "query", "queries", "data_1"),
        description="the query; a list repeats it",
    )
    text_2: _Texts = Field(validation_alias=AliasChoices("text_2", "documents", "items", "data_2"))
    use_activation: Flag = Field(
        None,
        validation_alias=AliasChoices("use_activation", "activation"),
        description="false: the scores' logits, whose sigmoid the scores are",
    )
    truncate_prompt_tokens: Literal[-1] | None = Field(None, description="-1 alone: as much as the model takes")
    truncation_side: Literal["right"] | None = None
    priority: Priority = Field(None, description="lower is ranked first when not all can be at once")


class Score(BaseModel):
    """The score of the text at ``index``."""

    index: int
    object: Literal["score"] = "score"
    score: float


class ScoreAnswer(BaseModel):
    """Scores in the order of the texts."""

    id: str
    object: Literal["list"] = "list"
    created: int = Field(description="seconds since 1970")
    model: str = Field(description="the profile that answered")
    data: list[Score]
    usage: Usage


class Model(BaseModel):
    """A name that ``model`` takes."""

    id: str
    object: Literal["model"] = "model"
    owned_by: Literal["onepass"] = "onepass"


class ModelList(BaseModel):
    """Every name that ``model`` takes, the default profile first."""

    object: Literal["list"] = "list"
    data: list[Model]
