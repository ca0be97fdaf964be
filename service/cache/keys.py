"""The exact key of an answer: everything that can change it, and nothing else.

A listwise answer depends on the whole ordered list of candidates, so there is no key for a part of it and no key for
a similar question. What only decides whether an answer comes in time (``timeout_ms``, ``strict``) or how it is shown
(``explain``) is not in the key: only whole answers are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache

from service.domain import Document, RerankOptions, RerankRequest, SearchRequest

SCHEMA = 4
"""Counts the versions of keys and values: what another version wrote is never read."""


def search_key(request: SearchRequest, index: str, version: str, ranker: str) -> str:
    """The key of a search, as 64 hexadecimal digits; ``ranker`` names profile, prompts and model weights."""
    return _digest(
        "search",
        request.tenant,
        index,
        version,
        ranker,
        request.query,
        [request.top_k, request.candidates, request.mode, request.feedback],
        _chosen(request.rerank),
    )


def rerank_key(request: RerankRequest, ranker: str) -> str:
    """The key of a rerank of the request's documents in their order, as 64 hexadecimal digits."""
    return _digest(
        "rerank",
        request.tenant,
        ranker,
        request.query,
        request.top_n,
        _chosen(request.rerank),
        _documents(request.documents),
    )


@lru_cache(maxsize=256)  # most requests of a service choose the same
def _chosen(options: RerankOptions) -> str:
    return json.dumps(asdict(options))


def _documents(documents: Iterable[Document]) -> str:
    """A digest of texts and ids in their order. Metadata comes back from the request, not from the cache."""
    digest = hashlib.sha256()
    for document in documents:
        for part in (document.id, document.title, document.text):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little"))
            digest.update(encoded)
    return digest.hexdigest()


def _digest(*parts: object) -> str:
    """A digest of JSON, in which no two different sequences of parts are the same text."""
    return hashlib.sha256(json.dumps([SCHEMA, *parts]).encode()).hexdigest()
