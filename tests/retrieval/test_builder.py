from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from service.deadline import Deadline
from service.domain import Document
from service.errors import ConfigurationError, EmbedderError, IndexMissing, InvalidInput
from service.retrieval.builder import build_index
from service.retrieval.embedding.embedder import PassageVectors, Vectors, passage_text
from service.retrieval.index_store import current_version
from service.retrieval.inspection import inspect_index
from tests.retrieval.fruit import FRUIT, AxisEmbedder, LetterEncoder

pytestmark = pytest.mark.anyio


class Odd(AxisEmbedder):
    """Gives whatever it is told to."""

    def __init__(self, vectors: PassageVectors, *, sparse: bool = False) -> None:
        super().__init__(sparse=sparse)
        self._given = vectors

    async def embed_passages(self, documents: Sequence[Document], deadline: Deadline) -> PassageVectors:
        return self._given


async def test_an_index_says_what_it_holds(tmp_path: Path) -> None:
    manifest = await build_index(tmp_path / "fruit", FRUIT, AxisEmbedder(), encoder=LetterEncoder())
    summary = inspect_index(tmp_path / "fruit")
    assert summary.version == manifest.version
    assert summary.documents == 4
    assert (summary.embedder, summary.dimension) == ("axes-1", 4)
    assert (summary.factory, summary.metric, summary.encoding) == ("Flat", "inner_product", "letters-1")
    assert summary.total_bytes == sum(
        (summary.folder / name).stat().st_size for name in ("vectors.faiss", "documents.sqlite", "sparse.index")
    )
    assert sorted(path.name for path in summary.folder.iterdir()) == [
        "documents.sqlite",
        "manifest.json",
        "sparse.index",
        "vectors.faiss",
    ]


async def test_the_same_documents_make_the_same_version(tmp_path: Path) -> None:
    first = await build_index(tmp_path / "one", FRUIT, AxisEmbedder())
    again = await build_index(tmp_path / "two", FRUIT, AxisEmbedder(), batch_size=1024)
    other = await build_index(tmp_path / "three", FRUIT[1:], AxisEmbedder())
    assert first.version == again.version != other.version


async def test_documents_are_streamed_and_progress_is_told(tmp_path: Path) -> None:
    drawn = 0
    told: list[tuple[int, int | None, int]] = []

    def documents() -> Iterator[Document]:
        nonlocal drawn
        for number in range(10):
            drawn += 1
            yield Document(str(number), f"text {number}")

    await build_index(
        tmp_path,
        documents(),
        AxisEmbedder(),
        total=10,
        batch_size=4,
        progress=lambda done, total: told.append((done, total, drawn)),
    )
    assert told == [(4, 10, 4), (8, 10, 8), (10, 10, 10)]


async def test_a_factory_string_is_used(tmp_path: Path) -> None:
    await build_index(tmp_path, FRUIT, AxisEmbedder(), factory="HNSW8,Flat")
    assert inspect_index(tmp_path).factory == "HNSW8,Flat"


async def test_a_rebuild_replaces_and_a_failed_one_does_not(tmp_path: Path) -> None:
    first = await build_index(tmp_path, FRUIT, AxisEmbedder())
    for documents in ([], [*FRUIT, FRUIT[0]], [Document("", "no id")]):
        with pytest.raises(InvalidInput):
            await build_index(tmp_path, documents, AxisEmbedder())
    with pytest.raises(ConfigurationError):
        await build_index(tmp_path, FRUIT, AxisEmbedder(), factory="IVF100,Flat")
    with pytest.raises(EmbedderError):
        await build_index(tmp_path, FRUIT, AxisEmbedder(broken=True, version="2"))
    assert inspect_index(tmp_path).version == first.version
    second = await build_index(tmp_path, FRUIT[1:], AxisEmbedder())
    assert inspect_index(tmp_path).version == second.version != first.version


async def test_a_failed_first_build_leaves_no_index(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'a'"):
        await build_index(tmp_path, [FRUIT[0], FRUIT[0]], AxisEmbedder(), batch_size=1)
    with pytest.raises(IndexMissing):
        current_version(tmp_path)


@pytest.mark.parametrize("vectors", [np.ones((3, 4)), np.ones((4, 5)), np.full((4, 4), np.nan)])
async def test_vectors_that_cannot_be_are_refused(tmp_path: Path, vectors: Vectors) -> None:
    with pytest.raises(EmbedderError):
        await build_index(tmp_path, FRUIT, Odd(PassageVectors.whole(vectors)))


def test_title_and_text_are_embedded_together() -> None:
    assert passage_text(FRUIT[1]) == "Banana A banana is long and yellow."
    assert passage_text(Document("x", "only text")) == "only text"
