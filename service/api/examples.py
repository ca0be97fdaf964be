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
        "value": {
            "query": "limit how many coroutines run at once",
            "timeout_ms": 200,
            "rerank": {"strategy": "sliding"},
        },
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
}
