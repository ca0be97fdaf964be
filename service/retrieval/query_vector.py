"""The query's vector for a first stage, and what becomes of a hybrid that does not get one."""

from __future__ import annotations

from service.deadline import Deadline
from service.domain import DegradedReason, RetrievalMode
from service.errors import DeadlineExceeded, EmbedderError
from service.observability.spans import span
from service.retrieval.embedding.embedder import Embedder, Vectors


async def query_vector(
    embedder: Embedder, query: str, mode: RetrievalMode, deadline: Deadline, hybrid_timeout: float
) -> tuple[Vectors | None, DegradedReason | None]:
    """The query's vector, shape [dimension]; none for a lexical search, or where a hybrid must do without.

    A hybrid waits for ``hybrid_timeout`` seconds, at most half of the time left.

    Raises:
        DeadlineExceeded: the deadline came first.
        EmbedderError: dense retrieval was asked for and the encoder failed.
    """
    if mode is RetrievalMode.LEXICAL:
        return None, None
    if mode is RetrievalMode.DENSE:
        return await _embedded(embedder, query, deadline), None
    patience = Deadline.after(min(hybrid_timeout, deadline.remaining / 2))
    try:
        return await _embedded(embedder, query, patience), None
    except (EmbedderError, DeadlineExceeded):
        deadline.check("retrieval")
        return None, DegradedReason.EMBEDDER


async def _embedded(embedder: Embedder, query: str, deadline: Deadline) -> Vectors:
    with span("embed"):
        vector: Vectors = (await embedder.embed_queries([query], deadline))[0]
        return vector
