from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.deadline import Deadline
from service.domain import RetrievalMode, Retrieved
from service.errors import NotFound
from service.retrieval.builder import build_index
from service.retrieval.embedding.embedder import QueryVectors
from service.retrieval.live_index import LiveIndex
from service.retrieval.local_first_stage import LocalFirstStage
from tests.retrieval.fruit import FRUIT, AxisEmbedder, ids

pytestmark = pytest.mark.anyio


class HeldEmbedder(AxisEmbedder):
    """Keeps searches under way until it is told to let them go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def embed_query(self, text: str, deadline: Deadline) -> QueryVectors:
        self.asked.set()
        await self.go_on.wait()
        return await super().embed_query(text, deadline)


async def opened(folder: Path, count: int, embedder: AxisEmbedder) -> LocalFirstStage:
    await build_index(folder, FRUIT[:count], embedder)
    return LocalFirstStage.open(folder, embedder)


async def search(index: LiveIndex) -> Retrieved:
    return await index.retrieve("apple", 10, RetrievalMode.DENSE, Deadline.never())


async def test_a_search_finishes_on_the_version_it_began_with(tmp_path: Path) -> None:
    embedder = HeldEmbedder()
    old = await opened(tmp_path, 2, embedder)
    live = LiveIndex(old)
    under_way = asyncio.create_task(search(live))
    await embedder.asked.wait()

    new = await opened(tmp_path, 4, AxisEmbedder())
    live.replace(new)
    after = await search(live)
    assert (live.version, live.manifest.documents) == (new.version, 4)
    assert (after.version, len(after.candidates)) == (new.version, 4)

    embedder.go_on.set()
    before = await under_way
    assert (before.version, sorted(ids(before.candidates))) == (old.version, ["a", "b"])
    await live.close()


async def test_a_version_is_closed_once_its_last_search_is_done(tmp_path: Path) -> None:
    embedder = HeldEmbedder()
    live = LiveIndex(await opened(tmp_path, 2, embedder))
    searches = [asyncio.create_task(search(live)) for _ in range(3)]
    await embedder.asked.wait()
    closing = asyncio.create_task(live.close())
    searches[0].cancel()
    await asyncio.wait(searches[:1])
    assert not closing.done()

    embedder.go_on.set()
    await closing
    assert [len((await under_way).candidates) for under_way in searches[1:]] == [2, 2]


async def test_a_closed_index_is_not_found(tmp_path: Path) -> None:
    live = LiveIndex(await opened(tmp_path / "fruit", 2, AxisEmbedder()))
    await live.close()
    with pytest.raises(NotFound, match="fruit is not served any more"):
        await search(live)
