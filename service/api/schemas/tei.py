"""Bodies of Text Embeddings Inference."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from service.api.schemas.lenient import Count, Flag, LenientBody
from service.api.schemas.native import SOME, Text


class RerankBody(LenientBody):
    """Texts to order for a query, as Text Embeddings Inference takes them."""

    query: Text
    texts: Annotated[list[Text], SOME]
    raw_scores: Flag = Field(None, description="true: the scores' logits, whose sigmoid the scores are")
    return_text: Flag = None
    truncate: Flag = Field(None, description="false: a text that would be cut is refused")
    truncation_direction: Literal["right", "Right"] | None = None
    top_n: Count = Field(None, description="no field of TEI's, but one that a client of it sends")


class Rank(BaseModel):
    """One ranked text; ``index`` is its position in the request, from 0."""

    index: int
    score: float
    text: str | None = None


class RerankerType(BaseModel):
    """The kind of model, with the one label that its score stands for."""

    id2label: dict[str, str] = {"0": "LABEL_0"}
    label2id: dict[str, int] = {"LABEL_0": 0}


class ModelType(BaseModel):
    """The kind of model."""

    reranker: RerankerType = RerankerType()


class InfoAnswer(BaseModel):
    """What is served."""

    model_id: str
    model_sha: str | None = Field(None, description="revision of the model's files where it is known")
    model_type: ModelType = ModelType()
    max_input_length: int = Field(description="tokens read of a query and a text together")
    max_client_batch_size: int = Field(description="texts in one request")
    auto_truncate: bool = True
    version: str
