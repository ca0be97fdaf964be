"""Example requests: shown in the OpenAPI document, and each one executed by a test."""

from __future__ import annotations

from fastapi.openapi.models import Example

SEARCH: dict[str, Example] = {
    "plain": {
        "summary": "A query, everything else by default",
        "value": {"query": "read a csv file into dictionaries", "top_k": 3},
    },
    "deadline": {
        "summary": "The best order that 200 ms allow",
        "value": {"query": "limit how many coroutines run at once", "timeout_ms": 200},
    },
    "first-stage": {
        "summary": "Full-text search alone, not reranked",
        "value": {"query": "temporary directory", "mode": "lexical", "rerank": {"enabled": False}},
    },
    "explain": {
        "summary": "With every window and its label logits",
        "value": {"query": "sort a list in place", "top_k": 5, "candidates": 20, "explain": True},
    },
}

RERANK: dict[str, Example] = {
    "texts": {
        "summary": "Plain texts",
        "value": {
            "query": "what do fleas live on",
            "documents": [
                "The flea market opens on Sundays at nine.",
                "Fleas feed on the blood of mammals and birds.",
                "A cat sleeps for most of the day.",
            ],
        },
    },
    "objects": {
        "summary": "Documents with ids and titles, the best one wanted with its text",
        "value": {
            "query": "boiling point of water at altitude",
            "documents": [
                {"id": "tea", "title": "Tea", "text": "Green tea is brewed at 80 degrees."},
                {"id": "physics", "title": "Pressure", "text": "Water boils at lower temperatures higher up."},
            ],
            "top_n": 1,
            "return_documents": True,
        },
    },
    "jina": {
        "summary": "As Jina's clients send it",
        "value": {
            "model": "jina-reranker-v2-base-multilingual",
            "query": "boiling point of water at altitude",
            "documents": ["Green tea is brewed at 80 degrees.", "Water boils at lower temperatures higher up."],
            "top_n": 1,
        },
    },
}

_FLEAS = ["The flea market opens on Sundays at nine.", "Fleas feed on the blood of mammals and birds."]
_QUERY = "what do fleas live on"

COHERE: dict[str, Example] = {
    "texts": {
        "summary": "As Cohere's clients send it",
        "value": {"model": "rerank-v3.5", "query": _QUERY, "documents": _FLEAS, "top_n": 2, "max_tokens_per_doc": 4096},
    },
    "objects": {
        "summary": "Objects, of which some fields are read",
        "value": {
            "model": "rerank-v3.5",
            "query": _QUERY,
            "documents": [{"title": "Fleas", "body": text} for text in _FLEAS],
            "rank_fields": ["title", "body"],
            "return_documents": True,
        },
    },
}

TEI: dict[str, Example] = {
    "tei": {
        "summary": "As TEI's clients send it",
        "value": {"query": _QUERY, "texts": _FLEAS, "raw_scores": False, "return_text": True, "truncate": True},
    },
    "vllm": {
        "summary": "As vLLM's clients send it",
        "value": {"model": "any", "query": _QUERY, "documents": _FLEAS, "return_documents": True},
    },
}

VOYAGE: dict[str, Example] = {
    "texts": {
        "summary": "As Voyage's clients send it",
        "value": {"model": "rerank-2.5", "query": _QUERY, "documents": _FLEAS, "top_k": None, "truncation": True},
    },
}

SCORE: dict[str, Example] = {
    "texts": {
        "summary": "A query, and the texts to score for it",
        "value": {"model": "any", "text_1": _QUERY, "text_2": _FLEAS},
    },
}
