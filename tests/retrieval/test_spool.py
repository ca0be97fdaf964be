"""What an interrupted build computed is not computed again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from service.deadline import Deadline
from service.domain import Document
from service.errors import EmbedderError, IndexFolderError, InvalidInput
from service.retrieval import index_store
from service.retrieval.builder import Recipe, build_index
from service.retrieval.embedding.embedder import PassageVectors
from service.retrieval.index_writer import index_writer
from tests.retrieval.fruit import FRUIT, AxisEmbedder

pytestmark = pytest.mark.anyio
MANY = [Document(f"d{n}", f"apple {n}\nand a banana" if n % 3 else f"cherry {n}", f"Fruit {n}") for n in range(50)]


class Reader(AxisEmbedder):
    """Notes what it reads, and fails before it would read more than ``most`` documents."""

    def __init__(self, most: int = 1_000, *, version: str = "1", sparse: bool = True) -> None:
        super().__init__(version=version, sparse=sparse)
        self.most = most
        self.read: list[str] = []

    async def embed_passages(self, documents: Sequence[Document], deadline: Deadline) -> PassageVectors:
        if len(self.read) + len(documents) > self.most:
            raise EmbedderError("tired")
        self.read += [document.id for document in documents]
        return await super().embed_passages(documents, deadline)


def built(folder: Path, documents: Sequence[Document], embedder: AxisEmbedder) -> str:
    async def build() -> str:
        return (await build_index(folder, documents, embedder, batch_size=10)).version

    return anyio.run(build)


# Builds an index with an embedder that kills its process, uncatchably, in the middle of the third batch.
KILLED_BUILD = """
import os, signal, sys
from pathlib import Path
import anyio
from service.retrieval.builder import Recipe, build_index
from tests.retrieval.test_spool import MANY, Reader

class Killed(Reader):
    async def embed_passages(self, documents, deadline):
        if len(self.read) == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().embed_passages(documents, deadline)

anyio.run(lambda: build_index(Path(sys.argv[1]), MANY, Killed(), batch_size=10))
"""


def test_a_build_that_was_killed_is_continued(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_BUILD, str(tmp_path / "index")], check=False)  # noqa: S603 - a script of ours
    assert killed.returncode == -9
    embedder = Reader()
    version = built(tmp_path / "index", MANY, embedder)
    assert embedder.read == [document.id for document in MANY[20:]]
    assert version == built(tmp_path / "at-once", MANY, Reader())
    assert not (tmp_path / "index" / index_store.SPOOL).exists()


@pytest.mark.parametrize("sparse", [True, False])
async def test_a_build_that_failed_is_continued(tmp_path: Path, *, sparse: bool) -> None:
    with pytest.raises(EmbedderError):
        await build_index(tmp_path / "index", MANY, Reader(35, sparse=sparse), batch_size=10)
    embedder = Reader(sparse=sparse)
    manifest = await build_index(tmp_path / "index", MANY, embedder, batch_size=10)
    assert embedder.read == [document.id for document in MANY[30:]]
    at_once = await build_index(tmp_path / "at-once", MANY, Reader(sparse=sparse), batch_size=10)
    assert manifest.version == at_once.version


async def test_only_the_same_title_and_text_is_taken_and_only_of_the_same_embedder(tmp_path: Path) -> None:
    documents = MANY[:5]
    for changed, version in ((documents, "2"), ([replace(each, title="Other") for each in documents], "1")):
        with pytest.raises(InvalidInput):
            await build_index(tmp_path, [*documents, documents[0]], Reader(), batch_size=10)
        embedder = Reader(version=version)
        await build_index(tmp_path, changed, embedder)
        assert len(embedder.read) == 5


async def test_documents_of_the_same_text_are_read_once(tmp_path: Path) -> None:
    embedder = Reader()
    manifest = await build_index(tmp_path, [replace(MANY[0], id=f"d{n}") for n in range(9)], embedder, batch_size=4)
    assert (manifest.documents, len(embedder.read)) == (9, 1)


async def test_a_change_that_failed_is_continued(tmp_path: Path) -> None:
    factory = "IVF1,SQ8"  # does not keep vectors as they were given, so that all are read anew
    await build_index(tmp_path, MANY, AxisEmbedder(), factory=factory)
    with index_writer(tmp_path, Recipe(Reader(50))) as writer:
        writer.add(FRUIT)
        with pytest.raises(EmbedderError):
            await writer.publish()
    embedder = Reader()
    with index_writer(tmp_path, Recipe(embedder)) as writer:
        manifest = await writer.publish()
    assert embedder.read == ["a", "b", "c", "d"]
    assert manifest.documents == 54


async def test_a_damaged_spool_is_told_and_can_be_removed(tmp_path: Path) -> None:
    await build_index(tmp_path, FRUIT, AxisEmbedder())
    spool = tmp_path / index_store.SPOOL
    spool.write_bytes(b"no database" * 1_000)
    with pytest.raises(IndexFolderError, match=r"spool\.sqlite .* damaged and can be removed"):
        await build_index(tmp_path, FRUIT, AxisEmbedder())
    spool.unlink()
    await build_index(tmp_path, FRUIT, AxisEmbedder())
