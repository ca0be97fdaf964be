"""Which dialect a path speaks, as metrics name it."""

from __future__ import annotations

_FOREIGN = {
    "/v2/rerank": "cohere",
    "/rerank": "tei",
    "/info": "tei",
    "/voyage/v1/rerank": "voyage",
    "/infinity/rerank": "infinity",
    "/score": "vllm",
    "/v1/score": "vllm",
    "/v1/models": "vllm",
}


def dialect_of(path: str) -> str:
    """The dialect that a path was made for, ``native`` for ours; others may be spoken there as well."""
    return _FOREIGN.get(path, "native")
