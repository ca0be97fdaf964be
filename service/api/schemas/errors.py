"""Bodies of errors, one for each shape in which dialects tell them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ErrorDetail(BaseModel):
    """What went wrong; ``field`` is the part of the request that is to blame, such as ``documents[3].text``."""

    type: str
    message: str
    field: str | None


class ErrorBody(BaseModel):
    """Our own: every answer that is not a success."""

    error: ErrorDetail


class SharedErrorBody(ErrorBody):
    """Our own, with what clients of Cohere and Jina read."""

    message: str = Field(description="read by Cohere's clients")
    detail: str = Field(description="read by Jina's clients")


class OpenAIErrorDetail(BaseModel):
    """What went wrong; ``param`` is the part of the request that is to blame."""

    type: str
    message: str
    param: str | None
    code: int = Field(description="the HTTP status")


class OpenAIErrorBody(BaseModel):
    """OpenAI's."""

    error: OpenAIErrorDetail


class FlatErrorBody(BaseModel):
    """Text Embeddings Inference's, with what clients of Cohere, Jina and Voyage read."""

    message: str = Field(description="read by Cohere's clients")
    detail: str = Field(description="read by clients of Jina and Voyage")
    error: str = Field(description="read by clients of Text Embeddings Inference")
    error_type: str
    field: str | None = Field(description="the part of the request that is to blame")
