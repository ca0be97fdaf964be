"""Requests and answers in the forms that the public references of other services describe, in contents of our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_TEXTS = [
    "Carbon steel rusts when it is left wet.",
    "Sharpen a blade at twenty degrees.",
    "L'acier inoxydable contient du chrome. 不锈钢",
]
_QUERY = "how to sharpen a knife"


@dataclass(frozen=True)
class Documented:
    """A request of a reference, and the fields that each answer to it has; ``[]`` stands for each item of a list."""

    reference: str
    path: str
    body: dict[str, Any]
    answer: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.reference} {'+'.join(sorted(self.body))}"


_COHERE_ANSWER = (
    "id",
    "results[].index",
    "results[].relevance_score",
    "meta.api_version.version",
    "meta.billed_units.search_units",
)
_JINA_ANSWER = (
    "model",
    "usage.total_tokens",
    "usage.prompt_tokens",
    "results[].index",
    "results[].relevance_score",
)
_VOYAGE_ANSWER = ("object", "data[].index", "data[].relevance_score", "model", "usage.total_tokens")

DOCUMENTED = (
    # https://docs.cohere.com/reference/rerank
    Documented(
        "Cohere v2",
        "/v2/rerank",
        {"model": "rerank-v4.0-pro", "query": _QUERY, "documents": _TEXTS},
        _COHERE_ANSWER,
    ),
    Documented(
        "Cohere v2",
        "/v2/rerank",
        {
            "model": "rerank-v3.5",
            "query": _QUERY,
            "documents": _TEXTS,
            "top_n": 3,
            "max_tokens_per_doc": 4096,
            "priority": 0,
        },
        _COHERE_ANSWER,
    ),
    # https://docs.cohere.com/v1/reference/rerank
    Documented(
        "Cohere v1",
        "/v1/rerank",
        {
            "model": "rerank-english-v3.0",
            "query": _QUERY,
            "documents": [{"text": text} for text in _TEXTS],
            "top_n": 2,
            "return_documents": True,
            "max_chunks_per_doc": 10,
        },
        (*_COHERE_ANSWER, "results[].document.text"),
    ),
    Documented(
        "Cohere v1",
        "/v1/rerank",
        {
            "model": "rerank-english-v3.0",
            "query": _QUERY,
            "documents": [{"title": "Kitchen", "content": text} for text in _TEXTS],
            "rank_fields": ["title", "content"],
            "return_documents": True,
        },
        (*_COHERE_ANSWER, "results[].document.content"),
    ),
    # https://jina.ai/reranker, https://api.jina.ai/redoc
    Documented(
        "Jina",
        "/v1/rerank",
        {"model": "jina-reranker-v2-base-multilingual", "query": _QUERY, "top_n": 3, "documents": _TEXTS},
        _JINA_ANSWER,
    ),
    Documented(
        "Jina",
        "/v1/rerank",
        {
            "model": "jina-reranker-m0",
            "query": _QUERY,
            "documents": [{"text": _TEXTS[0]}, _TEXTS[1], {"text": _TEXTS[2]}],
            "return_documents": True,
        },
        (*_JINA_ANSWER, "results[].document.text"),
    ),
    # https://docs.voyageai.com/reference/reranker-api
    Documented(
        "Voyage",
        "/voyage/v1/rerank",
        {"query": _QUERY, "documents": _TEXTS, "model": "rerank-2.5"},
        _VOYAGE_ANSWER,
    ),
    Documented(
        "Voyage",
        "/voyage/v1/rerank",
        {
            "query": _QUERY,
            "documents": _TEXTS,
            "model": "rerank-2.5-lite",
            "top_k": 2,
            "return_documents": True,
            "truncation": True,
        },
        (*_VOYAGE_ANSWER, "data[].document"),
    ),
    # https://huggingface.github.io/text-embeddings-inference
    Documented("TEI", "/rerank", {"query": _QUERY, "texts": _TEXTS}, ("[].index", "[].score")),
    Documented(
        "TEI",
        "/rerank",
        {
            "query": _QUERY,
            "texts": _TEXTS,
            "raw_scores": False,
            "return_text": True,
            "truncate": True,
            "truncation_direction": "Right",
        },
        ("[].index", "[].score", "[].text"),
    ),
)

ERRORS: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    ("/v2/rerank", {"model": "m", "query": _QUERY, "documents": []}, ("message",)),
    ("/v1/rerank", {"model": "m", "query": _QUERY}, ("message", "detail")),
    ("/voyage/v1/rerank", {"model": "m", "query": _QUERY}, ("detail",)),
    ("/rerank", {"query": _QUERY, "texts": []}, ("error", "error_type")),
)
"""A bad request of each, and the fields in which the reference tells errors."""
