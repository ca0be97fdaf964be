"""An index that is built anew takes over the vectors of documents that stay as they are."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain import Document
from service.retrieval import index_store
from service.retrieval.builder import build_index
from tests.retrieval.fruit import AxisEmbedder
from tests.retrieval.test_spool import MANY, Reader

pytestmark = pytest.mark.anyio


async def read(folder: Path, documents: Sequence[Document], *, version: str = "1", sparse: bool = True) -> list[str]:
    """What a build over the index at ``folder`` reads, by id. The index is then as one that is built from nothing."""
    embedder = Reader(version=version, sparse=sparse)
    manifest = await build_index(folder, documents, embedder, batch_size=10)
    nothing = folder.parent / "nothing"
    fresh = await build_index(nothing, documents, Reader(version=version, sparse=sparse), batch_size=10)
    shutil.rmtree(nothing)
    assert manifest.version == fresh.version
    return embedder.read


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    await build_index(tmp_path / "index", MANY, AxisEmbedder())
    return tmp_path / "index"


@pytest.mark.parametrize("sparse", [True, False])
async def test_the_same_documents_are_not_read_again(tmp_path: Path, *, sparse: bool) -> None:
    await build_index(tmp_path / "index", MANY, AxisEmbedder(sparse=sparse))
    assert await read(tmp_path / "index", MANY, sparse=sparse) == []
    assert await read(tmp_path / "index", MANY[::-1], sparse=sparse) == []


async def test_new_and_changed_documents_are_read(folder: Path) -> None:
    changed = [
        replace(MANY[3], text="another apple"),
        replace(MANY[4], title="Another"),
        replace(MANY[5], metadata={"k": 1}),
    ]
    new = Document("new", "a banana\nand a cherry")
    assert await read(folder, [*MANY[:3], *changed, new, *MANY[6:20]]) == ["d3", "d4", "new"]


async def test_another_embedder_reads_all(folder: Path) -> None:
    assert len(await read(folder, MANY, version="2")) == len(MANY)


async def test_a_version_that_cannot_be_used_is_passed_over(folder: Path) -> None:
    path = index_store.current_version(folder) / index_store.VECTORS
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    assert len(await read(folder, MANY)) == len(MANY)


async def test_vectors_that_are_not_kept_exactly_are_not_taken(tmp_path: Path) -> None:
    await build_index(tmp_path / "index", MANY, AxisEmbedder(), factory="IVF1,SQ8")
    assert len(await read(tmp_path / "index", MANY)) == len(MANY)
