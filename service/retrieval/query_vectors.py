"""The query's vectors for a first stage, and what becomes of a hybrid that does not get them."""

from __future__ import annotations

from service.deadline import Deadline
from service.domain import DegradedReason, RetrievalMode
from service.errors import DeadlineExceeded, EmbedderError, InvalidInput
from service.observability.spans import span
from service.retrieval.embedding.embedder import Embedder, QueryVectors


async def query_vectors(
    embedder: Embedder, query: str, mode: RetrievalMode, deadline: Deadline, hybrid_timeout: float
) -> tuple[QueryVectors | None, DegradedReason | None]:
    """The query's vectors; none for a lexical search, or where a hybrid must do without.

    A hybrid waits for ``hybrid_timeout`` seconds, at most half of the time left.

    Raises:
        InvalidInput: sparse retrieval was asked for, and the embedder gives no sparse vectors.
        DeadlineExceeded: the deadline came first.
        EmbedderError: dense or sparse retrieval was asked for and the encoder failed.
    """
    if mode is RetrievalMode.LEXICAL:
        return None, None
    if mode is RetrievalMode.SPARSE and not embedder.sparse:
        raise InvalidInput(f"{embedder.id}, the embedder of this service, gives no sparse vectors", field="mode")
    if mode is not RetrievalMode.HYBRID:
        return await _embedded(embedder, query, deadline), None
    patience = Deadline.after(min(hybrid_timeout, deadline.remaining / 2))
    try:
        return await _embedded(embedder, query, patience), None
    except (EmbedderError, DeadlineExceeded):
        deadline.check("retrieval")
        return None, DegradedReason.EMBEDDER


async def _embedded(embedder: Embedder, query: str, deadline: Deadline) -> QueryVectors:
    with span("embed"):
        return await embedder.embed_query(query, deadline)
