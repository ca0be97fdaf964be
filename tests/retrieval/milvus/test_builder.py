from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.deadline import Deadline
from service.domain import Document, RetrievalMode
from service.errors import ConfigurationError, EmbedderError, IndexFolderError, IndexIncompatible, InvalidInput
from service.observability.events import Observers
from service.retrieval import index_store
from service.retrieval.builder import Recipe, build_index
from service.retrieval.index_catalogue import IndexCatalogue
from service.retrieval.index_writer import index_writer
from service.retrieval.local_first_stage import Options
from service.retrieval.milvus.builder import build_in_milvus
from service.retrieval.opening import open_stage
from tests.retrieval.fruit import FRUIT, AxisEmbedder, ids
from tests.retrieval.milvus.lite import Lite

pytestmark = pytest.mark.anyio
RECIPE = Recipe(AxisEmbedder())


@pytest.fixture
def folder(tmp_path: Path, server: Lite) -> Iterator[Path]:
    """Where an index goes whose passages are in ``server``, which is empty again afterwards."""
    yield tmp_path / "fruit-salad"
    server.drop(*server.collections())


async def test_the_folder_names_the_collection_and_holds_nothing_else(server: Lite, folder: Path) -> None:
    manifest = await build_in_milvus(server.options, folder, FRUIT, RECIPE)

    version = index_store.current_version(folder)
    assert [path.name for path in version.iterdir()] == [index_store.MANIFEST]
    assert index_store.read_manifest(version) == manifest
    index_store.verify(version, manifest)
    assert (manifest.documents, manifest.factory, manifest.files) == (4, "Milvus", {})
    assert server.collections() == [manifest.collection]
    assert manifest.collection == f"onepass_fruit_salad_{version.name.replace('-', '_')}"


async def test_progress_is_told_by_the_batch(server: Lite, folder: Path) -> None:
    told: list[tuple[int, int | None]] = []
    many = [Document(str(number), "an apple") for number in range(600)]
    await build_in_milvus(
        server.options, folder, many, RECIPE, total=600, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(512, 600), (600, 600)]


async def test_the_collection_before_stays_until_the_next_build(server: Lite, folder: Path) -> None:
    first = await build_in_milvus(server.options, folder, FRUIT, RECIPE)
    second = await build_in_milvus(server.options, folder, FRUIT, RECIPE)
    assert set(server.collections()) == {first.collection, second.collection}
    third = await build_in_milvus(server.options, folder, FRUIT, RECIPE)
    assert set(server.collections()) == {second.collection, third.collection}
    assert len({first.version, second.version, third.version}) == 3


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "at least one"),
        ([*FRUIT, Document("a", "again")], "'a' occurs more than once"),
        ([*FRUIT, Document("long", "x" * 70_000)], "too long for Milvus"),
    ],
)
async def test_a_build_that_fails_leaves_nothing_behind(
    server: Lite, folder: Path, documents: list[Document], message: str
) -> None:
    before = await build_in_milvus(server.options, folder, FRUIT, RECIPE)
    with pytest.raises(InvalidInput, match=message):
        await build_in_milvus(server.options, folder, documents, RECIPE)
    assert server.collections() == [before.collection]
    assert index_store.read_manifest(index_store.current_version(folder)) == before


async def test_an_embedder_that_fails_leaves_nothing_behind(server: Lite, folder: Path) -> None:
    with pytest.raises(EmbedderError):
        await build_in_milvus(server.options, folder, FRUIT, Recipe(AxisEmbedder(broken=True)))
    assert server.collections() == []


async def test_a_server_that_is_away_is_an_error_of_the_build(tmp_path: Path, own_server: Lite) -> None:
    own_server.stop()
    with pytest.raises(IndexFolderError, match="Milvus at"):
        await build_in_milvus(own_server.options, tmp_path / "fruit", FRUIT, RECIPE)


async def test_an_index_in_milvus_is_served_beside_one_of_files_and_replaced(server: Lite, folder: Path) -> None:
    await build_index(folder.parent / "files", FRUIT, AxisEmbedder())
    await build_in_milvus(server.options, folder, FRUIT[:2], RECIPE)
    options = Options(milvus=server.options)
    catalogue = IndexCatalogue.open(folder.parent, AxisEmbedder(), options, Observers([]))
    assert sorted(catalogue.live) == ["files", "fruit-salad"]

    async def found(name: str) -> list[str]:
        query = catalogue.live[name].retrieve("a cherry", 1, RetrievalMode.HYBRID, Deadline.never())
        return ids((await query).candidates)

    assert await found("files") == ["c"]
    assert await found("fruit-salad") != ["c"]
    replaced = await build_in_milvus(server.options, folder, FRUIT, RECIPE)
    await catalogue.look()
    assert catalogue.live["fruit-salad"].version == replaced.version
    assert await found("fruit-salad") == ["c"]
    await catalogue.close()


async def test_documents_are_not_added_to_it_one_by_one(server: Lite, folder: Path) -> None:
    await build_in_milvus(server.options, folder, FRUIT, RECIPE)
    with pytest.raises(IndexIncompatible, match="build the index anew"), index_writer(folder, RECIPE):
        pass


async def test_a_server_that_no_setting_names_is_a_matter_of_configuration(server: Lite, folder: Path) -> None:
    await build_in_milvus(server.options, folder, FRUIT, RECIPE)
    with pytest.raises(ConfigurationError, match="milvus_url"):
        open_stage(folder, AxisEmbedder(), Options())
