from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.errors import IndexCorrupt
from service.retrieval import index_store
from service.retrieval.dense_index import DenseIndex
from service.retrieval.embedding.embedder import PassageVectors, Vectors
from service.retrieval.manifest import Manifest
from service.retrieval.vector_writer import VectorWriter
from tests.retrieval.fruit import AxisEmbedder

COUNTS = np.random.default_rng(1).integers(1, 5, 300)
ONE_EACH = np.ones(300, np.int64)
FACTORIES = ["Flat", "HNSW8,Flat", "IVF8,Flat", "IVF8,SQ8", "HNSW8,SQ8", "PCA4,IVF4,Flat", "SQfp16"]


class Wide(AxisEmbedder):
    dimension = 8


def units(count: int) -> Vectors:
    vectors = np.random.default_rng(2).normal(size=(count, 8))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def opened(folder: Path, counts: np.ndarray, factory: str | None = None) -> DenseIndex:
    """An index of ``units``, so many pieces a document."""
    with VectorWriter(folder, Wide(sparse=False)) as writer:
        for half in np.split(np.arange(len(counts)), 2):
            first, last = counts[: half[0]].sum(), counts[: half[-1] + 1].sum()
            writer.add(PassageVectors(units(counts.sum())[first:last], counts[half]))
        chosen = writer.finish(factory)
    (folder / index_store.DOCUMENTS).touch()
    return DenseIndex(folder, manifest(folder, chosen, len(counts)))


def manifest(folder: Path, factory: str, documents: int) -> Manifest:
    files = index_store.record_files(folder)
    return Manifest("dense-axes-1", 8, factory, documents, "2026-01-01T00:00:00+00:00", files)


def nearest(query: Vectors, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By brute force: the number of each document's nearest piece, and its cosine."""
    cosines, ends = units(counts.sum()) @ query, counts.cumsum()
    pieces = np.array([end - n + cosines[end - n : end].argmax() for end, n in zip(ends, counts, strict=True)])
    return pieces, cosines[pieces]


@pytest.mark.parametrize("counts", [ONE_EACH, COUNTS, np.array([400, 1])])
@pytest.mark.parametrize("wanted", [1, 10, 300, 1_000])
def test_documents_are_found_by_their_nearest_piece(tmp_path: Path, counts: np.ndarray, wanted: int) -> None:
    index = opened(tmp_path, counts)
    for query in units(500)[400:420]:
        _, cosines = nearest(query, counts)
        found = index.search(query, wanted)
        assert [row for row, _ in found] == np.argsort(-cosines, kind="stable")[:wanted].tolist()
        assert [score for _, score in found] == pytest.approx(np.sort(cosines)[::-1][:wanted], abs=1e-6)


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("counts", [ONE_EACH, COUNTS])
def test_the_nearest_pieces_of_any_documents_are_read_back(tmp_path: Path, counts: np.ndarray, factory: str) -> None:
    index = opened(tmp_path, counts, factory)
    query, documents = units(900)[-1], np.array([7, 299, 0, 150])
    pieces, cosines = nearest(query, counts)
    found = index.nearest_pieces(query, documents)
    lossy = "SQ8" in factory or factory.startswith("PCA")
    if not lossy:
        assert found == pytest.approx(units(counts.sum())[pieces[documents]], abs=1e-3)
    if not factory.startswith("PCA"):
        assert found @ query == pytest.approx(cosines[documents], abs=0.02 if lossy else 1e-3)


def test_no_documents_have_no_pieces(tmp_path: Path) -> None:
    assert opened(tmp_path, COUNTS).nearest_pieces(units(1)[0], np.array([], np.int64)).shape == (0, 8)


def test_all_vectors_of_documents_are_read_back(tmp_path: Path) -> None:
    vectors = opened(tmp_path, COUNTS).vectors(np.array([3, 4, 100]))
    assert vectors.pieces.tolist() == COUNTS[[3, 4, 100]].tolist()
    ends = COUNTS.cumsum()
    rows = [row for document in (3, 4, 100) for row in range(ends[document] - COUNTS[document], ends[document])]
    assert vectors.dense == pytest.approx(units(COUNTS.sum())[rows], abs=1e-6)


def test_only_where_a_document_has_several_pieces_is_it_written_where_they_begin(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    opened(tmp_path / "one", ONE_EACH)
    opened(tmp_path / "many", COUNTS)
    assert not (tmp_path / "one" / index_store.PIECES).exists()
    assert np.load(tmp_path / "many" / index_store.PIECES).tolist() == [0, *COUNTS.cumsum().tolist()]
    assert {path.name for path in (tmp_path / "many").iterdir()} == {
        index_store.VECTORS,
        index_store.DOCUMENTS,
        index_store.PIECES,
    }


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ([0, 1, 2], "promises 2 vectors"),
        ([0, 1, 2, 3], "rising array of 2 documents"),
        ([1, 2, 3], "rising array"),
        ([0, 3, 3], "rising array"),
        ([0, 4, 3], "rising array"),
        ([0.0, 1.0, 3.0], "rising array"),
    ],
)
def test_pieces_that_do_not_belong_to_the_vectors_are_refused(tmp_path: Path, starts: list[int], message: str) -> None:
    opened(tmp_path, np.array([1, 2]))
    np.save(tmp_path / index_store.PIECES, np.array(starts))
    with pytest.raises(IndexCorrupt, match=message):
        DenseIndex(tmp_path, manifest(tmp_path, "Flat", 2))


def test_pieces_that_are_no_array_are_refused(tmp_path: Path) -> None:
    opened(tmp_path, np.array([1, 2]))
    for content in (b"", b"pieces", np.array([None]).dumps()):
        (tmp_path / index_store.PIECES).write_bytes(content)
        with pytest.raises(IndexCorrupt, match="is not an array"):
            DenseIndex(tmp_path, manifest(tmp_path, "Flat", 2))
