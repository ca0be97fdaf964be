"""A request that asks for more than its time allows, of the engine in this process."""

from __future__ import annotations

from typing import Any


def too_much(query: str) -> dict[str, Any]:
    """A rerank request whose documents take seconds to read. They differ, so that none was read before."""
    documents = [f"{query} {number} " + "and what else may be said of it " * 40 for number in range(1000)]
    return {"query": query, "documents": documents, "timeout_ms": 500}
