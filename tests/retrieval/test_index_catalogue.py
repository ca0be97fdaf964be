from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from service.deadline import Deadline
from service.domain import Document, RetrievalMode
from service.errors import IndexCorrupt, IndexIncompatible, NotFound, OnepassError, RetrievalError
from service.observability.events import Event, IndexOpened, IndexRefused, IndexWithdrawn
from service.retrieval import index_store
from service.retrieval.builder import build_index
from service.retrieval.index_catalogue import IndexCatalogue
from service.retrieval.local_first_stage import Options
from tests.retrieval.fruit import FRUIT, AxisEmbedder, ids

pytestmark = pytest.mark.anyio


@dataclass
class Recorder:
    events: list[Event] = field(default_factory=list)
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    def observe(self, event: Event) -> None:
        self.events.append(event)
        self.happened.set()

    async def next(self) -> Event:
        """The next event that is observed."""
        self.happened.clear()
        await self.happened.wait()
        return self.events[-1]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def catalogue(tmp_path: Path, recorder: Recorder) -> AsyncIterator[IndexCatalogue]:
    """A catalogue of one index, ``fruit``, that holds two documents."""
    await build(tmp_path / "fruit", 2)
    catalogue = IndexCatalogue.open(tmp_path, AxisEmbedder(), Options(threads=2), recorder)
    yield catalogue
    await catalogue.close()


async def build(folder: Path, count: int, embedder: AxisEmbedder | None = None) -> str:
    return (await build_index(folder, FRUIT[:count], embedder or AxisEmbedder())).version


async def found(catalogue: IndexCatalogue, name: str = "fruit") -> list[str]:
    retrieved = await catalogue.live[name].retrieve("apple", 10, RetrievalMode.DENSE, Deadline.never())
    assert retrieved.version == catalogue.live[name].version
    return sorted(ids(retrieved.candidates))


def opened(catalogue: IndexCatalogue) -> IndexOpened:
    manifest = catalogue.live["fruit"].manifest
    return IndexOpened("fruit", manifest.version, manifest.documents, manifest.bytes, manifest.created_at)


def flip_last_byte(folder: Path) -> None:
    vectors = index_store.current_version(folder) / index_store.VECTORS
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    vectors.write_bytes(content)


async def test_a_new_version_is_served_after_a_reload(
    catalogue: IndexCatalogue, recorder: Recorder, tmp_path: Path
) -> None:
    version = await build(tmp_path / "fruit", 4)
    assert await found(catalogue) == ["a", "b"]
    live = await catalogue.reload("fruit")
    assert live.version == version
    assert await found(catalogue) == ["a", "b", "c", "d"]
    assert recorder.events[-1] == opened(catalogue)


async def test_a_look_opens_what_is_new_or_changed_and_nothing_else(
    catalogue: IndexCatalogue, recorder: Recorder, tmp_path: Path
) -> None:
    await catalogue.look()
    assert len(recorder.events) == 1
    await build(tmp_path / "fruit", 3)
    await build(tmp_path / "more", 1)
    await catalogue.look()
    await catalogue.look()
    assert len(recorder.events) == 3
    assert (await found(catalogue), await found(catalogue, "more")) == (["a", "b", "c"], ["a"])


async def test_an_index_whose_folder_is_gone_is_withdrawn(
    catalogue: IndexCatalogue, recorder: Recorder, tmp_path: Path
) -> None:
    live = catalogue.live["fruit"]
    shutil.rmtree(tmp_path / "fruit")
    await catalogue.look()
    assert recorder.events[-1] == IndexWithdrawn("fruit")
    assert not catalogue.live
    with pytest.raises(NotFound):
        await live.retrieve("apple", 1, RetrievalMode.DENSE, Deadline.never())
    await build(tmp_path / "fruit", 4)
    await catalogue.look()
    assert await found(catalogue) == ["a", "b", "c", "d"]


async def test_a_directory_that_cannot_be_read_withdraws_nothing(catalogue: IndexCatalogue, tmp_path: Path) -> None:
    away = tmp_path.with_name("away")
    shutil.move(tmp_path, away)
    with pytest.raises(FileNotFoundError):
        await catalogue.look()
    assert await found(catalogue) == ["a", "b"]


async def test_a_directory_may_appear_later(recorder: Recorder, tmp_path: Path) -> None:
    catalogue = IndexCatalogue.open(tmp_path / "later", AxisEmbedder(), Options(), recorder)
    await catalogue.look()
    assert recorder.events == []
    await build(tmp_path / "later" / "fruit", 2)
    await catalogue.look()
    assert await found(catalogue) == ["a", "b"]
    await catalogue.close()


async def broken_bytes(folder: Path) -> None:
    await build(folder, 4)
    flip_last_byte(folder)


async def another_format(folder: Path) -> None:
    await build(folder, 4)
    path = index_store.current_version(folder) / index_store.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))


async def another_embedder(folder: Path) -> None:
    await build(folder, 4, AxisEmbedder(version="2"))


async def a_lost_document(folder: Path) -> None:
    await build(folder, 4)
    version = index_store.current_version(folder)
    with closing(sqlite3.connect(version / index_store.DOCUMENTS, isolation_level=None)) as connection:
        connection.execute("DELETE FROM documents WHERE id = 'a'")
    manifest = replace(index_store.read_manifest(version), files=index_store.record_files(version))
    (version / index_store.MANIFEST).write_text(manifest.to_json())


async def pointer_to_nowhere(folder: Path) -> None:
    (folder / "CURRENT").write_text("20200101T000000-00000000\n")


BROKEN = [
    (broken_bytes, IndexCorrupt, "differs from its checksum"),
    (another_format, IndexIncompatible, "format 99"),
    (another_embedder, IndexIncompatible, "axes-2"),
    (a_lost_document, RetrievalError, "failed"),
    (pointer_to_nowhere, IndexCorrupt, "not there"),
]


@pytest.mark.parametrize(("breaking", "error", "message"), BROKEN)
async def test_a_broken_version_is_refused_and_the_old_one_stays(
    catalogue: IndexCatalogue,
    recorder: Recorder,
    tmp_path: Path,
    breaking: object,
    error: type[OnepassError],
    message: str,
) -> None:
    assert callable(breaking)
    await breaking(tmp_path / "fruit")
    with pytest.raises(error, match=message):
        await catalogue.reload("fruit")
    refused = recorder.events[-1]
    assert isinstance(refused, IndexRefused)
    assert (refused.name, refused.error) == ("fruit", error.__name__)
    assert message in refused.detail
    assert await found(catalogue) == ["a", "b"]


async def test_a_refused_version_is_looked_at_once_until_it_changes(
    catalogue: IndexCatalogue, recorder: Recorder, tmp_path: Path
) -> None:
    await broken_bytes(tmp_path / "fruit")
    await catalogue.look()
    await catalogue.look()
    assert [type(event) for event in recorder.events] == [IndexOpened, IndexRefused]
    flip_last_byte(tmp_path / "fruit")
    await catalogue.look()
    assert await found(catalogue) == ["a", "b", "c", "d"]


async def test_a_name_that_is_no_index_is_not_found(catalogue: IndexCatalogue, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("nowhere", "empty", "..", "../fruit", ""):
        with pytest.raises(NotFound):
            await catalogue.reload(name)


async def test_the_watcher_picks_up_a_new_version_and_outlives_trouble(
    catalogue: IndexCatalogue, recorder: Recorder, tmp_path: Path
) -> None:
    away = tmp_path.with_name("elsewhere")
    async with catalogue.watched(0.01):
        shutil.move(tmp_path, away)
        assert isinstance(await recorder.next(), IndexRefused)
        shutil.move(away, tmp_path)
        version = await build(tmp_path / "fruit", 4)
        while recorder.events[-1] != opened(catalogue):
            await recorder.next()
    assert catalogue.live["fruit"].version == version
    assert await found(catalogue) == ["a", "b", "c", "d"]


async def test_without_an_interval_nobody_watches(
    catalogue: IndexCatalogue, recorder: Recorder, tmp_path: Path
) -> None:
    await build(tmp_path / "fruit", 4)
    async with catalogue.watched(0):
        pass
    assert len(recorder.events) == 1


async def test_a_reload_that_is_given_up_leaves_nothing_open(catalogue: IndexCatalogue, tmp_path: Path) -> None:
    await build(tmp_path / "fruit", 4)
    reloading = asyncio.create_task(catalogue.reload("fruit"))
    await asyncio.sleep(0)
    reloading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reloading
    await catalogue.look()
    assert await found(catalogue) == ["a", "b", "c", "d"]


async def test_searches_go_on_while_versions_are_swapped(catalogue: IndexCatalogue, tmp_path: Path) -> None:
    holds: dict[str, set[str]] = {}
    answered: dict[str, int] = {}
    done = asyncio.Event()

    async def swap(count: int) -> None:
        documents = [Document(f"{count}-{n}", f"An apple {n}.") for n in range(count)]
        manifest = await build_index(tmp_path / "fruit", documents, AxisEmbedder())
        holds[manifest.version] = {document.id for document in documents}
        await catalogue.reload("fruit")

    async def searching(mode: RetrievalMode) -> None:
        while not done.is_set():
            retrieved = await catalogue.live["fruit"].retrieve("apple", 99, mode, Deadline.never())
            answered[retrieved.version] = answered.get(retrieved.version, 0) + 1
            assert set(ids(retrieved.candidates)) == holds[retrieved.version]

    await swap(1)
    async with asyncio.TaskGroup() as searches:
        for mode in (RetrievalMode.DENSE, RetrievalMode.DENSE, RetrievalMode.LEXICAL):
            searches.create_task(searching(mode))
        for count in range(2, 22):
            await swap(count)
        done.set()
    assert len(answered) > 15
