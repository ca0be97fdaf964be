"""Bodies as real clients send them: recorded from those named with a version, else from their source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

QUERY = "what do fleas live on"
TEXTS = [
    "The flea market opens on Sundays at nine.",
    "A cat sleeps for most of the day.",
    "Fleas live on the blood of mammals and birds.",
]
BEST = 2

ASKED: dict[str, Any] = {"query": QUERY, "documents": TEXTS}
OBJECTS = [{"title": "Animals", "body": text} for text in TEXTS]


@dataclass(frozen=True)
class Sent:
    """A request of a client, and how many results it wants."""

    client: str
    path: str
    body: dict[str, Any]
    results: int = 3

    def __str__(self) -> str:
        return f"{self.client} {self.path}"


COHERE = (
    Sent("cohere 5.21 v1", "/v1/rerank", ASKED | {"model": "rerank-v3.5", "top_n": 2}, 2),
    Sent(
        "cohere 5.21 v1 objects",
        "/v1/rerank",
        {
            "model": "rerank-english-v3.0",
            "query": QUERY,
            "documents": OBJECTS,
            "top_n": 2,
            "rank_fields": ["title", "body"],
            "return_documents": True,
        },
        2,
    ),
    Sent("cohere 5.21 v2", "/v2/rerank", ASKED | {"model": "rerank-v3.5", "top_n": 2, "max_tokens_per_doc": 512}, 2),
    Sent("haystack 11", "/v2/rerank", ASKED | {"model": "rerank-v3.5", "top_n": 2, "max_tokens_per_doc": 4096}, 2),
    Sent("cohere 7.3 v2", "/v2/rerank", ASKED | {"model": "rerank-v3.5", "priority": 7}),
    Sent("langchain 0.6", "/v2/rerank", ASKED | {"model": "rerank-v3.5", "top_n": 2, "max_tokens_per_doc": None}, 2),
    Sent("litellm 1.106", "/v2/rerank", ASKED | {"model": "rerank-v3.5", "top_n": 2, "return_documents": True}, 2),
    Sent("litellm 1.106 jina_ai", "/v1/rerank", ASKED | {"model": "m", "top_n": 2, "return_documents": True}, 2),
    Sent("litellm 1.106 hosted_vllm", "/rerank", ASKED | {"model": "m", "top_n": 2, "return_documents": True}, 2),
    Sent("jina-haystack 2.0", "/v1/rerank", ASKED | {"model": "jina-reranker-v1-base-en", "top_n": None}),
    Sent("llama-index jina 0.6", "/v1/rerank", ASKED | {"model": "jina-reranker-v1-base-en", "top_n": 2}, 2),
    Sent("Open WebUI", "/v1/rerank", ASKED | {"model": "", "top_n": 3}),
    Sent("Dify", "/rerank", ASKED | {"model": "bge-reranker-v2-m3", "top_n": None, "return_documents": True}),
    Sent("RAGFlow", "/v1/rerank", ASKED | {"model": "m", "return_documents": "true", "top_n": 3}),
    Sent("vllm bench", "/v2/rerank", ASKED | {"model": "m", "truncate_prompt_tokens": -1, "truncation_side": "right"}),
)
"""What answers in Cohere's form."""

TEI = (
    Sent("llama-index tei 0.6", "/rerank", {"query": QUERY, "texts": TEXTS}),
    Sent("haystack huggingface-api 3.1", "/rerank", {"query": QUERY, "texts": TEXTS, "raw_scores": False}),
    Sent(
        "litellm 1.106 huggingface",
        "/rerank",
        {
            "raw_scores": False,
            "truncation_direction": "Right",
            "query": QUERY,
            "texts": TEXTS,
            "top_n": 2,
            "return_text": True,
        },
        2,
    ),
    Sent(
        "tei's own defaults",
        "/rerank",
        {
            "query": QUERY,
            "texts": TEXTS,
            "truncate": False,
            "raw_scores": False,
            "return_text": False,
            "truncation_direction": "right",
        },
    ),
)
"""What answers in TEI's form."""
