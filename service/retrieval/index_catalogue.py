"""The indexes of a directory, kept up to date while they are searched.

A new version is opened beside the old one, verified and searched once before it takes the old one's place; whatever is
wrong with it, the old one stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from service.errors import IndexCorrupt, NotFound, OnepassError
from service.observability.events import IndexOpened, IndexRefused, IndexWithdrawn, Observer
from service.retrieval import index_store
from service.retrieval.embedding.embedder import Embedder
from service.retrieval.first_stage import IndexStage
from service.retrieval.live_index import LiveIndex
from service.retrieval.local_first_stage import Options
from service.retrieval.opening import open_stage

_TRIES = 5
"""An index may be replaced while it is being opened, which removes the files of the version before the last."""


class IndexCatalogue:
    """Opens what is in ``directory``, and what appears there later; made by ``open``."""

    def __init__(self, directory: Path, embedder: Embedder, options: Options, observer: Observer) -> None:
        self._directory = directory
        self._embedder = embedder
        self._options = options
        self._observer = observer
        self._live: dict[str, LiveIndex] = {}
        self._seen: dict[str, tuple[object, ...]] = {}
        self._turn = asyncio.Lock()

    @classmethod
    def open(cls, directory: Path, embedder: Embedder, options: Options, observer: Observer) -> IndexCatalogue:
        """Open every index of a directory. Raises ``IndexFolderError`` or ``ConfigurationError`` for a broken one."""
        catalogue = cls(directory, embedder, options, observer)
        for folder in index_store.indexes_in(directory):
            catalogue._seen[folder.name] = index_store.fingerprint(folder)
            catalogue._serve(catalogue._stage(folder))
        return catalogue

    @property
    def live(self) -> Mapping[str, LiveIndex]:
        """The indexes served at the moment, by name."""
        return MappingProxyType(self._live)

    async def reload(self, name: str) -> LiveIndex:
        """Open the current version of an index and serve it, even if it is the one being served.

        Raises:
            NotFound: the directory has no index of that name.
            IndexFolderError, ConfigurationError, RetrievalError: why it is refused; the version before stays.
        """
        async with self._turn:
            await self._renew(await asyncio.to_thread(self._folder, name))
            return self._live[name]

    async def look(self) -> None:
        """Open what is new or changed, and withdraw what is gone; what is refused is tried again once it changes."""
        async with self._turn:
            found = await asyncio.to_thread(self._fingerprints)
            for name, fingerprint in found.items():
                if self._seen.get(name) != fingerprint:
                    with suppress(OnepassError):  # which was observed
                        await self._renew(self._directory / name)
            for name in self._live.keys() - found.keys():
                await self._withdraw(name)

    @asynccontextmanager
    async def watched(self, every_s: float) -> AsyncIterator[None]:
        """Look every so many seconds while the block runs; never for 0."""
        watching = asyncio.create_task(self._watch(every_s))
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def close(self) -> None:
        """Release files and threads of every index, after the searches under way."""
        await asyncio.gather(*(index.close() for index in self._live.values()))

    async def _watch(self, every_s: float) -> None:
        while every_s:
            await asyncio.sleep(every_s)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  such as an unreadable directory; the next look may succeed
                self._refused(self._directory.name, error)

    async def _renew(self, folder: Path) -> None:
        """Serve the current version of a folder. Raises ``OnepassError``, which it observes, where that is refused."""
        try:
            stage = await self._opened(folder)
        except OnepassError as error:
            self._refused(folder.name, error)
            raise
        self._serve(stage)

    async def _opened(self, folder: Path) -> IndexStage:
        for _ in range(_TRIES):
            fingerprint = await asyncio.to_thread(index_store.fingerprint, folder)
            try:
                stage = await self._warm_stage(folder)
            except OnepassError:
                if await asyncio.to_thread(index_store.fingerprint, folder) == fingerprint:
                    self._seen[folder.name] = fingerprint
                    raise
            else:
                self._seen[folder.name] = fingerprint
                return stage
        raise IndexCorrupt(f"{folder} is replaced faster than it can be opened")

    def _serve(self, stage: IndexStage) -> None:
        live = self._live.get(stage.name)
        if live is None:
            self._live[stage.name] = LiveIndex(stage)
        else:
            live.replace(stage)
        manifest = stage.manifest
        self._observer.observe(
            IndexOpened(stage.name, stage.version, manifest.documents, manifest.bytes, manifest.created_at)
        )

    async def _withdraw(self, name: str) -> None:
        live = self._live.pop(name)
        del self._seen[name]
        self._observer.observe(IndexWithdrawn(name))
        await live.close()

    async def _warm_stage(self, folder: Path) -> IndexStage:
        opening = asyncio.create_task(asyncio.to_thread(self._stage, folder))
        try:
            stage = await asyncio.shield(opening)
        except asyncio.CancelledError:
            await _close_when_open(opening)
            raise
        try:
            await stage.warm()
        except BaseException:
            await stage.close()
            raise
        return stage

    def _stage(self, folder: Path) -> IndexStage:
        try:
            return open_stage(folder, self._embedder, self._options)
        except OSError as error:
            raise IndexCorrupt(f"{folder} cannot be read: {error}") from error

    def _folder(self, name: str) -> Path:
        folders = {folder.name: folder for folder in index_store.indexes_in(self._directory)}
        if name not in folders:
            raise NotFound(f"there is no index of that name in {self._directory}", field="name")
        return folders[name]

    def _fingerprints(self) -> dict[str, tuple[object, ...]]:
        """Of every index there is. Raises ``OSError`` if their directory is gone, which says nothing about them."""
        if self._live:
            self._directory.stat()
        return {folder.name: index_store.fingerprint(folder) for folder in index_store.indexes_in(self._directory)}

    def _refused(self, name: str, error: Exception) -> None:
        self._observer.observe(IndexRefused(name, type(error).__name__, str(error)))


async def _close_when_open(opening: asyncio.Task[IndexStage]) -> None:
    """A thread cannot be stopped: what it opens for nobody is closed again."""
    (stage,) = await asyncio.gather(opening, return_exceptions=True)
    if not isinstance(stage, BaseException):
        await stage.close()
