"""The vectors of a version while it is written: spooled batch by batch, then made into what searches read."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.retrieval import faiss_index, index_store
from service.retrieval.embedding.embedder import Embedder, PassageVectors
from service.retrieval.sparse_index import SparseWriter

_DENSE_ROWS, _SPARSE_ROWS = "dense.rows", "sparse.rows"


class VectorWriter:
    """Fills the folder of a version with the vectors that ``embedder`` makes."""

    def __init__(self, version: Path, embedder: Embedder) -> None:
        self._version = version
        self._dimension = embedder.dimension
        self._pieces: list[NDArray[np.int64]] = []
        with ExitStack() as opened:
            self._dense = opened.enter_context((version / _DENSE_ROWS).open("wb"))
            self._sparse = None
            if embedder.sparse:
                self._sparse = opened.enter_context(SparseWriter(version / _SPARSE_ROWS))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()
        for name in (_DENSE_ROWS, _SPARSE_ROWS):
            (self._version / name).unlink(missing_ok=True)

    def add(self, vectors: PassageVectors) -> None:
        """Append the vectors of the next documents."""
        self._dense.write(np.ascontiguousarray(vectors.dense, np.float32).tobytes())
        self._pieces.append(vectors.pieces)
        if self._sparse is not None and vectors.sparse is not None:
            self._sparse.add(vectors.sparse)

    def finish(self, factory: str | None) -> str:
        """Write the files of a version with at least one document; the FAISS factory string that was taken.

        By default the kind follows the number of vectors. Raises ``ConfigurationError`` for a factory string that does
        not suit them.
        """
        starts = np.concatenate([np.zeros(1, np.int64), *self._pieces]).cumsum()
        if starts[-1] > len(starts) - 1:
            np.save(self._version / index_store.PIECES, starts)
        if self._sparse is not None:
            self._sparse.finish(self._version / index_store.SPARSE)
        self._dense.flush()
        chosen = factory or faiss_index.choose_factory(int(starts[-1]))
        shape = (int(starts[-1]), self._dimension)
        rows = np.memmap(self._version / _DENSE_ROWS, dtype=np.float32, mode="r", shape=shape)
        faiss_index.build(rows, chosen, self._version / index_store.VECTORS)
        return chosen
