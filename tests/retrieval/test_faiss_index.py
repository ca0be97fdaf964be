from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest

from service.errors import ConfigurationError, IndexCorrupt, RetrievalError
from service.retrieval import faiss_index
from service.retrieval.embedding.embedder import Vectors
from service.retrieval.faiss_index import FLAT_UP_TO, HNSW_UP_TO, FaissIndex, build, choose_factory, expected_bytes

FACTORIES = ["Flat", "HNSW32,Flat", "HNSW16,SQ8", "IVF64,Flat", "IVF64,SQ8", "PCA16,IVF32,SQ8", "SQfp16"]
GPU_BUILD = hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    random = np.random.default_rng(0)
    centres = random.standard_normal((100, 32))
    points = np.repeat(centres, 30, axis=0) + 0.3 * random.standard_normal((3_000, 32))
    unit: Vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return unit


def test_the_kind_follows_the_size() -> None:
    assert choose_factory(FLAT_UP_TO) == "Flat"
    assert choose_factory(FLAT_UP_TO + 1) == "HNSW32,Flat"
    assert choose_factory(HNSW_UP_TO) == "HNSW32,Flat"
    assert choose_factory(1_000_000) == "IVF4000,SQ8"


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_kind_finds_nearly_the_exact_neighbours(tmp_path: Path, vectors: Vectors, factory: str) -> None:
    build(vectors, factory, tmp_path / "index")
    index = FaissIndex(tmp_path / "index")
    assert (index.count, index.dimension, index.inner_product) == (3_000, 32, True)
    found = 0
    for query in vectors[:50]:
        exact = set(np.argsort(-(vectors @ query))[:10].tolist())
        results = index.search(query, 10)
        assert [score for _, score in results] == sorted((score for _, score in results), reverse=True)
        found += len(exact & {row for row, _ in results})
    assert found / 500 > (0.6 if factory.startswith("PCA") else 0.9)


def test_flat_scores_are_inner_products(tmp_path: Path, vectors: Vectors) -> None:
    build(vectors, "Flat", tmp_path / "index")
    row, score = FaissIndex(tmp_path / "index").search(vectors[17], 1)[0]
    assert row == 17
    assert score == pytest.approx(1.0, abs=1e-5)


def test_more_asked_for_than_there_is(tmp_path: Path, vectors: Vectors) -> None:
    build(vectors[:5], "Flat", tmp_path / "index")
    assert len(FaissIndex(tmp_path / "index").search(vectors[0], 100)) == 5


def test_searches_run_side_by_side(tmp_path: Path, vectors: Vectors) -> None:
    build(vectors, "HNSW32,Flat", tmp_path / "index")
    index = FaissIndex(tmp_path / "index")
    with ThreadPoolExecutor(8) as threads:
        rows = list(threads.map(lambda query: index.search(query, 1)[0][0], vectors[:200]))
    assert rows == list(range(200))


@pytest.mark.parametrize("factory", ["Bogus", "", "IVF1000,Flat"])
def test_a_factory_that_does_not_suit_is_refused(tmp_path: Path, vectors: Vectors, factory: str) -> None:
    with pytest.raises(ConfigurationError, match="FAISS cannot build"):
        build(vectors[:100], factory, tmp_path / "index")


@pytest.mark.parametrize("factory", ["Flat", "HNSW32,Flat", "IVF64,SQ8"])
def test_a_truncated_file_is_refused(tmp_path: Path, vectors: Vectors, factory: str) -> None:
    build(vectors, factory, tmp_path / "index")
    whole = (tmp_path / "index").read_bytes()
    for kept in (0, 1, 4, 40, len(whole) // 2, len(whole) * 9 // 10):
        (tmp_path / "cut").write_bytes(whole[:kept])
        with pytest.raises(IndexCorrupt, match="not a FAISS index"):
            FaissIndex(tmp_path / "cut")


def test_a_vector_of_another_length_is_an_error_of_retrieval(tmp_path: Path, vectors: Vectors) -> None:
    build(vectors, "Flat", tmp_path / "index")
    with pytest.raises(RetrievalError):
        FaissIndex(tmp_path / "index").search(vectors[0][:7], 1)


@pytest.mark.skipif(GPU_BUILD, reason="this FAISS sees a GPU")
def test_a_gpu_that_is_not_there_is_a_matter_of_configuration(tmp_path: Path, vectors: Vectors) -> None:
    build(vectors, "Flat", tmp_path / "index")
    with pytest.raises(ConfigurationError, match="GPU"):
        FaissIndex(tmp_path / "index", gpu=True)


@pytest.mark.parametrize("limits", [(3_000, 3_000), (0, 3_000), (0, 0)])
def test_the_size_of_an_index_is_known_beforehand(
    limits: tuple[int, int], tmp_path: Path, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each kind, chosen for fewer vectors than usual."""
    for name, limit in zip(("FLAT_UP_TO", "HNSW_UP_TO"), limits, strict=True):
        monkeypatch.setattr(faiss_index, name, limit)
    build(vectors, choose_factory(3_000), tmp_path / "index")
    assert (tmp_path / "index").stat().st_size == pytest.approx(expected_bytes(3_000, 32), rel=0.05)
