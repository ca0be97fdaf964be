"""The FAISS half of an index: kind by size, built from a file of vectors, searched from a memory map."""

from __future__ import annotations

import math
import re
import threading
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from service.errors import ConfigurationError, IndexCorrupt, RetrievalError
from service.retrieval.embedding.embedder import Vectors

FLAT_UP_TO = 20_000
"""Exact search of so many vectors takes about a millisecond or two on one core; nothing approximate beats it."""

HNSW_UP_TO = 500_000
"""A graph answers in well under a millisecond at nearly full recall, for about 300 bytes more a vector."""

_KEEPS_VECTORS = re.compile(r"Flat|HNSW\d+(,Flat)?")
_GRAPH_DEGREE = 32
_EF_CONSTRUCTION = 200
_EF_SEARCH = 128
_PROBED_SHARE = 1 / 32
_LEAST_PROBED = 16
_TRAINING_VECTORS_PER_LIST = 64
_BATCH = 16_384
_SEED = 20_240_615


def choose_factory(count: int) -> str:
    """The FAISS factory string for so many vectors: flat, then a graph, then inverted lists of 8-bit vectors."""
    if count <= FLAT_UP_TO:
        return "Flat"
    if count <= HNSW_UP_TO:
        return f"HNSW{_GRAPH_DEGREE},Flat"
    return f"IVF{4 * math.isqrt(count)},SQ8"


def expected_bytes(count: int, dimension: int) -> int:
    """About the size of the index that ``choose_factory`` names, in memory and on disk.

    A vector takes 4 bytes a dimension, 1 in the inverted lists. A graph adds two lists of neighbours' numbers at its
    ground level and a level's number and offset; the levels above hold a vector in ``_GRAPH_DEGREE``, one list each.
    Inverted lists add each vector's number and their centroids.
    """
    if count <= FLAT_UP_TO:
        return 4 * dimension * count
    if count <= HNSW_UP_TO:
        links = 4 * _GRAPH_DEGREE * (2 + 1 / _GRAPH_DEGREE)
        return round(count * (4 * dimension + links + 4 + 8))
    return count * (dimension + 8) + 4 * math.isqrt(count) * 4 * dimension


def keeps_vectors(factory: str) -> bool:
    """Whether an index of that kind holds its vectors as they were given, row by row."""
    return _KEEPS_VECTORS.fullmatch(factory) is not None


def build(vectors: Vectors, factory: str, path: Path) -> None:
    """Write an inner-product index over unit vectors, which may be a memory map larger than memory.

    Raises:
        ConfigurationError: FAISS does not know the factory string, or cannot build it from so few vectors.
        OSError: the file cannot be written.
    """
    try:
        index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        _set(index, "efConstruction", _EF_CONSTRUCTION)
        if not index.is_trained:
            index.train(_training_sample(vectors, index))
        for start in range(0, len(vectors), _BATCH):
            index.add(np.ascontiguousarray(vectors[start : start + _BATCH]))
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(f"FAISS cannot build {factory!r} from {len(vectors)} vectors: {error}") from error
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise OSError(f"FAISS cannot write {path.name}: {error}") from error


class FaissIndex:
    """A read-only index, searched from several threads at once."""

    def __init__(self, path: Path, *, gpu: bool = False) -> None:
        """Map the file into memory, and copy it to every GPU that is to search it.

        Raises:
            IndexCorrupt: the file is not a FAISS index.
            ConfigurationError: a GPU is asked for that this FAISS or this kind of index cannot use.
        """
        try:
            self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_READ_ONLY)
        except RuntimeError as error:
            raise IndexCorrupt(f"{path} is not a FAISS index: {error}") from error
        _set(self._index, "efSearch", _EF_SEARCH)
        lists = _list_count(self._index)
        if lists:
            _set(self._index, "nprobe", min(lists, max(_LEAST_PROBED, round(lists * _PROBED_SHARE))))
        if lists:
            faiss.extract_index_ivf(self._index).make_direct_map()  # where the vector of a row lies
        # A GPU's resources serve one search at a time; on a CPU searches run side by side.
        self._turn = threading.Lock() if gpu else None
        self._searched = _on_gpus(self._index) if gpu else self._index

    @property
    def count(self) -> int:
        """Vectors in the index."""
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        """Length of each vector."""
        return int(self._index.d)

    @property
    def inner_product(self) -> bool:
        """Whether the index compares by inner product."""
        return bool(self._index.metric_type == faiss.METRIC_INNER_PRODUCT)

    def vectors(self, rows: NDArray[np.int64]) -> Vectors:
        """The vectors of rows, shape [rows, dimension], as they were given where ``keeps_vectors`` says so.

        Raises ``RetrievalError`` if FAISS fails.
        """
        try:
            found: Vectors = self._index.reconstruct_batch(rows)
        except RuntimeError as error:
            raise RetrievalError(f"FAISS failed: {error}") from error
        return found

    def search(self, vector: Vectors, count: int) -> list[tuple[int, float]]:
        """Row numbers with inner products, best first, for one vector of shape [dimension].

        Raises ``RetrievalError`` if FAISS fails.
        """
        try:
            if self._turn is None:
                scores, rows = self._searched.search(vector[None, :], min(count, self.count))
            else:
                with self._turn:
                    scores, rows = self._searched.search(vector[None, :], min(count, self.count))
        except (RuntimeError, AssertionError) as error:
            raise RetrievalError(f"FAISS failed: {error}") from error
        return [(int(row), float(score)) for row, score in zip(rows[0], scores[0], strict=True) if row >= 0]


def use_one_thread() -> None:
    """Keep searches of the calling thread to one core: requests run side by side instead."""
    faiss.omp_set_num_threads(1)


def _training_sample(vectors: Vectors, index: Any) -> Vectors:
    """At most so many vectors as training needs, drawn evenly by a fixed seed."""
    wanted = max(_BATCH, _TRAINING_VECTORS_PER_LIST * _list_count(index))
    if len(vectors) <= wanted:
        return np.ascontiguousarray(vectors)
    rows = np.random.default_rng(_SEED).choice(len(vectors), wanted, replace=False)
    return np.ascontiguousarray(vectors[np.sort(rows)])


def _set(index: Any, parameter: str, value: int) -> None:
    """Set a parameter through whatever wraps the index; an index without such a parameter is left as it is."""
    try:
        faiss.ParameterSpace().set_index_parameter(index, parameter, value)
    except RuntimeError:
        return


def _list_count(index: Any) -> int:
    inner = faiss.try_extract_index_ivf(index)
    return 0 if inner is None else int(inner.nlist)


def _on_gpus(index: Any) -> Any:
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        raise ConfigurationError("a GPU index is asked for, but this FAISS build sees no GPU")
    try:
        return faiss.index_cpu_to_all_gpus(index)
    except RuntimeError as error:
        raise ConfigurationError(f"this kind of index cannot run on a GPU: {error}") from error
