"""Bodies that describe the service itself: its indexes, its profiles, its state."""

from __future__ import annotations

from pydantic import BaseModel, Field


class IndexBody(BaseModel):
    """An index that is being served."""

    name: str
    version: str = Field(description="changes whenever the same query could find something else")
    default: bool
    documents: int
    embedder: str
    faiss: str = Field(description="FAISS factory string of the vectors, or Milvus")


class ProfileBody(BaseModel):
    """A way of asking a model that is being served."""

    name: str
    description: str
    model: str
    default: bool
    window: int = Field(description="passages in one prompt")
    passage_tokens: int = Field(description="tokens of a passage that the model sees")
    query_tokens: int = Field(description="tokens of a query that the model sees")
    strategy: str = Field(description="used when a request names none")
    strategies: list[str] = Field(description="names that `rerank.strategy` takes")


class ReadyBody(BaseModel):
    """Whether searches are answered, and what would be degraded now."""

    ready: bool
    indexes: dict[str, str] = Field(description="version of each index")
    engines: dict[str, bool] = Field(description="whether each profile's engine takes prompts now")
