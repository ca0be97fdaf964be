"""An index whose versions are replaced while it is searched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.deadline import Deadline
from service.domain import RetrievalMode, Retrieved
from service.errors import NotFound
from service.retrieval.embedding.embedder import QueryVectors
from service.retrieval.first_stage import IndexStage
from service.retrieval.manifest import Manifest


@dataclass(slots=True, eq=False)
class _Version:
    """An open version, and how many searches are in it; ``idle`` is set while there are none."""

    stage: IndexStage
    searches: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.idle.set()

    @contextmanager
    def leased(self) -> Iterator[IndexStage]:
        """The version, open for as long as the block runs."""
        self.searches += 1
        self.idle.clear()
        try:
            yield self.stage
        finally:
            self.searches -= 1
            if not self.searches:
                self.idle.set()


class LiveIndex:
    """Implements ``FirstStage``: a search finishes on the version it began with, which is closed after the last one.

    For one event loop: no lock is needed, because nothing is awaited between looking at the version and leasing it.
    """

    def __init__(self, stage: IndexStage) -> None:
        self._current = _Version(stage)
        self._retiring: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def name(self) -> str:
        """The index's name, as requests spell it."""
        return self._current.stage.name

    @property
    def version(self) -> str:
        """A hash of the contents that the next search will find."""
        return self._current.stage.version

    @property
    def manifest(self) -> Manifest:
        """What the current version says about itself."""
        return self._current.stage.manifest

    async def retrieve(
        self, query: str, count: int, mode: RetrievalMode, deadline: Deadline, *, vectors: QueryVectors | None = None
    ) -> Retrieved:
        """At most ``count`` candidates, best first; see ``FirstStage``. Raises ``NotFound`` once it is closed."""
        if self._closed:
            raise NotFound(f"the index {self.name} is not served any more", field="index")
        with self._current.leased() as stage:
            return await stage.retrieve(query, count, mode, deadline, vectors=vectors)

    def replace(self, stage: IndexStage) -> None:
        """Search ``stage`` from now on."""
        old, self._current = self._current, _Version(stage)
        retiring = asyncio.create_task(_retire(old))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """Release files and threads of every version, after the searches under way."""
        self._closed = True
        await asyncio.gather(_retire(self._current), *self._retiring)


async def _retire(version: _Version) -> None:
    await version.idle.wait()
    await version.stage.close()
