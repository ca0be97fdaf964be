from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from service.deadline import Deadline
from service.domain import Document
from service.encoders.sparse_vectors import SparseVectors
from service.errors import ConfigurationError, EmbedderError, IndexMissing, InvalidInput
from service.retrieval.builder import build_index
from service.retrieval.embedding.embedder import PassageVectors, passage_text
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


ONES, EACH = np.ones((4, 4), np.float32), np.ones(4, np.int64)
SPARSE = SparseVectors.joined([(np.array([1], np.uint32), np.array([0.5], np.float32))] * 4)


@pytest.mark.parametrize(
    "vectors",
    [
        PassageVectors.whole(np.ones((3, 4), np.float32)),
        PassageVectors.whole(np.ones((4, 5), np.float32)),
        PassageVectors.whole(np.full((4, 4), np.nan, np.float32)),
        PassageVectors(ONES, np.array([1, 1, 1])),
        PassageVectors(ONES, np.array([0, 2, 1, 1])),
        PassageVectors(ONES, np.array([1, 1, 1, 2])),
        PassageVectors(ONES, EACH, SPARSE),  # not promised
    ],
)
async def test_vectors_that_cannot_be_are_refused(tmp_path: Path, vectors: PassageVectors) -> None:
    with pytest.raises(EmbedderError):
        await build_index(tmp_path, FRUIT, Odd(vectors))


@pytest.mark.parametrize("sparse", [None, SPARSE.take([0, 1, 2])])
async def test_sparse_vectors_that_are_promised_and_missing_are_refused(
    tmp_path: Path, sparse: SparseVectors | None
) -> None:
    with pytest.raises(EmbedderError, match="4 passages"):
        await build_index(tmp_path, FRUIT, Odd(PassageVectors(ONES, EACH, sparse), sparse=True))


async def test_the_files_follow_the_vectors(tmp_path: Path) -> None:
    plain = await build_index(tmp_path / "plain", FRUIT, AxisEmbedder(sparse=False))
    assert sorted(plain.files) == ["documents.sqlite", "vectors.faiss"]
    lines = Document("lines", "an apple\na banana")
    pieces = await build_index(tmp_path / "pieces", [*FRUIT, lines], AxisEmbedder())
    assert sorted(pieces.files) == ["documents.sqlite", "pieces.npy", "sparse.index", "vectors.faiss"]
    assert pieces.documents == 5


def test_title_and_text_are_embedded_together() -> None:
    assert passage_text(FRUIT[1]) == "Banana A banana is long and yellow."
    assert passage_text(Document("x", "only text")) == "only text"
