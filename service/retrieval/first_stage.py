"""What the pipeline knows of a first stage."""

from __future__ import annotations

from typing import Protocol

from service.deadline import Deadline
from service.domain import RetrievalMode, Retrieved
from service.retrieval.embedding.embedder import QueryVectors
from service.retrieval.manifest import Manifest


class FirstStage(Protocol):
    """Finds candidates for a query. Implementations are safe to call concurrently and keep off the event loop."""

    @property
    def name(self) -> str:
        """The index's name, as requests spell it."""

    @property
    def version(self) -> str:
        """Changes whenever the same query could find something else."""

    async def retrieve(
        self, query: str, count: int, mode: RetrievalMode, deadline: Deadline, *, vectors: QueryVectors | None = None
    ) -> Retrieved:
        """At most ``count`` candidates, best first, with texts and metadata.

        ``vectors`` take the place of the query's own, which is then not embedded.

        Raises:
            InvalidInput: sparse retrieval was asked for, and the embedder gives no sparse vectors.
            DeadlineExceeded: the deadline came first.
            EmbedderError: dense or sparse retrieval was asked for and the encoder failed (a hybrid goes on without it,
                degraded).
            RetrievalError: the index itself failed.
        """

    async def close(self) -> None:
        """Release files and threads."""


class IndexStage(FirstStage, Protocol):
    """A first stage over one version of an index folder."""

    @property
    def manifest(self) -> Manifest:
        """What the index says about itself."""

    async def warm(self) -> None:
        """Search once, but for the query's embedding. Raises ``RetrievalError`` if that fails."""
