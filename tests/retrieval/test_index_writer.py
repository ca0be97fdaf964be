from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from service.deadline import Deadline
from service.domain import Document, Evidence, PassageTokens, RetrievalMode
from service.errors import IndexCorrupt, IndexFolderError, IndexIncompatible, IndexMissing, InvalidInput
from service.retrieval import index_store
from service.retrieval.builder import Recipe, build_index
from service.retrieval.embedding.embedder import PassageVectors
from service.retrieval.index_writer import Effect, index_writer
from service.retrieval.local_first_stage import LocalFirstStage
from tests.retrieval.fruit import FRUIT, AxisEmbedder, LetterEncoder, ids

pytestmark = pytest.mark.anyio
DATE = Document("e", "A date is a dictionary of sugar.", title="Date", metadata={"colour": "brown"})
LONG = Document("long", "apple\nbanana and apple\ncherry", title="Long")
GREEN_APPLE = Document("a", "This apple is green.", title="Green apple")


class CountingEmbedder(AxisEmbedder):
    def __init__(self, version: str = "1", *, sparse: bool = True) -> None:
        super().__init__(version=version, sparse=sparse)
        self.embedded = 0

    async def embed_passages(self, documents: Sequence[Document], deadline: Deadline) -> PassageVectors:
        self.embedded += len(documents)
        return await super().embed_passages(documents, deadline)


class CountingEncoder(LetterEncoder):
    def __init__(self, encoding: str = "letters-1") -> None:
        self.encoding = encoding
        self.encoded = 0

    def encode(self, documents: Sequence[Document]) -> list[PassageTokens]:
        self.encoded += len(documents)
        return super().encode(documents)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    await build_index(tmp_path / "fruit", FRUIT, AxisEmbedder(), encoder=LetterEncoder())
    return tmp_path / "fruit"


def recipe() -> Recipe:
    return Recipe(CountingEmbedder(), CountingEncoder())


async def found(folder: Path, query: str = "apple", mode: RetrievalMode = RetrievalMode.DENSE) -> list[str]:
    stage = LocalFirstStage.open(folder, AxisEmbedder())
    retrieved = await stage.retrieve(query, 10, mode, Deadline.never())
    await stage.close()
    return ids(retrieved.candidates)


async def test_what_is_added_is_found_in_the_next_version(folder: Path) -> None:
    with index_writer(folder, recipe()) as writer:
        assert writer.add([DATE]) == Effect(1, 0, 0, [])
        assert writer.pending == 1
        assert "e" not in await found(folder)
        manifest = await writer.publish()
        assert writer.pending == 0
    assert manifest.documents == 5
    assert "e" in await found(folder)
    assert await found(folder, "sugar", RetrievalMode.LEXICAL) == ["e"]


async def test_what_is_deleted_is_not_found_in_the_next_version(folder: Path) -> None:
    with index_writer(folder, recipe()) as writer:
        assert writer.delete(["b", "nowhere", "b"]) == Effect(0, 0, 1, ["nowhere"])
        await writer.publish()
    assert sorted(await found(folder)) == ["a", "c", "d"]
    assert await found(folder, "banana", RetrievalMode.LEXICAL) == []


async def test_an_id_that_is_there_is_replaced(folder: Path) -> None:
    with index_writer(folder, recipe()) as writer:
        assert writer.add([GREEN_APPLE, DATE]) == Effect(1, 1, 0, [])
        manifest = await writer.publish()
    assert manifest.documents == 5
    stage = LocalFirstStage.open(folder, AxisEmbedder())
    retrieved = await stage.retrieve("apple", 1, RetrievalMode.DENSE, Deadline.never())
    await stage.close()
    assert retrieved.candidates[0].document == GREEN_APPLE
    assert retrieved.version == manifest.version


async def test_the_last_change_of_an_id_holds(folder: Path) -> None:
    with index_writer(folder, recipe()) as writer:
        writer.add([DATE, GREEN_APPLE, GREEN_APPLE])
        assert writer.delete(["e", "a"]) == Effect(0, 0, 2, [])
        assert writer.delete(["e"]) == Effect(0, 0, 0, ["e"])
        assert writer.add([DATE]) == Effect(1, 0, 0, [])
        assert writer.add([DATE]) == Effect(0, 1, 0, [])
        await writer.publish()
    assert sorted(await found(folder)) == ["b", "c", "d", "e"]


async def test_changes_wait_for_whoever_publishes(folder: Path) -> None:
    with index_writer(folder, recipe()) as writer:
        writer.add([DATE])
    with index_writer(folder, recipe()) as writer:
        writer.delete(["a"])
        assert writer.pending == 2
        await writer.publish()
        await writer.publish()
    assert sorted(await found(folder)) == ["b", "c", "d", "e"]


@pytest.mark.parametrize("factory", ["Flat", "HNSW8,Flat", "HNSW8"])
@pytest.mark.parametrize("sparse", [True, False])
async def test_what_stays_keeps_its_vectors_and_tokens(tmp_path: Path, factory: str, *, sparse: bool) -> None:
    documents = [FRUIT[0], LONG, *FRUIT[1:]]
    embedder = AxisEmbedder(sparse=sparse)
    await build_index(tmp_path, documents, embedder, encoder=LetterEncoder(), factory=factory)
    making = Recipe(CountingEmbedder(sparse=sparse), CountingEncoder())
    with index_writer(tmp_path, making) as writer:
        writer.delete(["a", "c"])
        writer.add([DATE])
        manifest = await writer.publish()
    assert manifest.factory == factory
    assert (making.embedder.embedded, making.encoder.encoded) == (1, 1)  # type: ignore[attr-defined,union-attr]
    again = tmp_path / "again"
    await build_index(again, [LONG, FRUIT[1], FRUIT[3], DATE], embedder, encoder=LetterEncoder(), factory=factory)
    assert await contents(tmp_path, embedder) == await contents(again, embedder)
    assert manifest.files.keys() == index_store.read_manifest(index_store.current_version(again)).files.keys()


async def contents(folder: Path, embedder: AxisEmbedder) -> list[tuple[Document, float, Evidence | None, list[int]]]:
    stage = LocalFirstStage.open(folder, embedder)
    retrieved = await stage.retrieve("red apple", 10, RetrievalMode.DENSE, Deadline.never())
    await stage.close()
    return [(c.document, c.score, c.evidence, c.tokens.ids.tolist() if c.tokens else []) for c in retrieved.candidates]


@pytest.mark.parametrize(("kept", "pieces"), [("long", True), ("a", False)])
async def test_the_kind_and_the_files_follow_the_pieces_that_are_left(
    tmp_path: Path, kept: str, *, pieces: bool
) -> None:
    await build_index(tmp_path, [LONG, FRUIT[0]], AxisEmbedder())
    with index_writer(tmp_path, recipe()) as writer:
        writer.delete({"long", "a"} - {kept})
        manifest = await writer.publish()
    assert (manifest.documents, index_store.PIECES in manifest.files) == (1, pieces)


async def test_vectors_that_are_not_kept_exactly_are_made_anew(tmp_path: Path) -> None:
    many = [Document(f"d{n}", f"{n} " + "apple " * (n % 7) + "cherry " * (n % 5)) for n in range(100)]
    await build_index(tmp_path, many, AxisEmbedder(), factory="IVF2,SQ8")
    making = recipe()
    with index_writer(tmp_path, making) as writer:
        writer.add([DATE])
        manifest = await writer.publish()
    assert (manifest.factory, manifest.encoding) == ("IVF2,SQ8", "letters-1")
    assert (making.embedder.embedded, making.encoder.encoded) == (101, 101)  # type: ignore[attr-defined,union-attr]


async def test_the_kind_follows_the_number_of_documents_where_it_did(folder: Path) -> None:
    with index_writer(folder, recipe()) as writer:
        writer.add(Document(f"n{n}", f"apple {n}") for n in range(20_000))
        manifest = await writer.publish()
    assert (manifest.documents, manifest.factory) == (20_004, "HNSW32,Flat")


async def test_bad_documents_add_nothing(folder: Path) -> None:
    with index_writer(folder, recipe()) as writer:
        with pytest.raises(InvalidInput, match="cannot be a document id"):
            writer.add([DATE, Document("", "no id")])
        with pytest.raises(InvalidInput, match="not JSON"):
            writer.add([DATE, Document("f", "text", metadata={"n": float("inf")})])
        assert writer.pending == 0


async def test_text_that_no_encoding_carries_is_repaired(folder: Path) -> None:
    with index_writer(folder, recipe()) as writer:
        writer.add([Document("e", "half \ud83c", metadata={"k": "\ud83c"})])
        await writer.publish()
    assert "e" in await found(folder)


async def test_the_last_document_cannot_be_deleted(folder: Path) -> None:
    with index_writer(folder, recipe()) as writer:
        writer.delete(["a", "b"])
        with pytest.raises(InvalidInput, match="no document would be left"):
            writer.delete(["c", "d"])
        assert writer.pending == 2


async def test_a_second_writer_is_told_so(folder: Path) -> None:
    with index_writer(folder, recipe()):
        with pytest.raises(IndexFolderError, match="another build or change"), index_writer(folder, recipe()):
            pass
        with pytest.raises(IndexFolderError, match="another build or change"):
            await build_index(folder, FRUIT, AxisEmbedder())


async def test_only_an_index_of_the_same_embedder_is_changed(folder: Path, tmp_path: Path) -> None:
    other = Recipe(CountingEmbedder(version="2"))
    with pytest.raises(IndexIncompatible, match="axes-1"), index_writer(folder, other):
        pass
    with pytest.raises(IndexMissing), index_writer(tmp_path / "nowhere", recipe()):
        pass
    assert not (tmp_path / "nowhere").exists()


async def test_a_build_replaces_the_index_and_what_waited_for_it(folder: Path) -> None:
    with index_writer(folder, recipe()) as writer:
        writer.add([DATE])
    await build_index(folder, FRUIT, AxisEmbedder(), encoder=LetterEncoder())
    with index_writer(folder, recipe()) as writer:
        assert writer.pending == 0


async def test_a_damaged_version_is_not_built_upon(folder: Path) -> None:
    vectors = index_store.current_version(folder) / index_store.VECTORS
    damaged = np.fromfile(vectors, dtype=np.uint8)
    damaged[-1] ^= 1
    with index_writer(folder, recipe()) as writer:
        writer.add([DATE])
        damaged.tofile(vectors)
        with pytest.raises(IndexCorrupt, match="checksum"):
            await writer.publish()
        assert writer.pending == 1
