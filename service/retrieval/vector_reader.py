"""The vectors of a version that is there: what ``vector_writer.py`` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from service.errors import IndexCorrupt
from service.retrieval import faiss_index, index_store
from service.retrieval.dense_index import DenseIndex
from service.retrieval.embedding.embedder import PassageVectors
from service.retrieval.manifest import Manifest
from service.retrieval.sparse_index import SparseIndex


class VectorReader:
    """Both halves of a version's vectors; ``sparse`` is missing where its embedder gives no sparse vectors."""

    def __init__(self, version: Path, manifest: Manifest, *, gpu: bool = False) -> None:
        """Map the files into memory.

        Raises:
            IndexCorrupt: a file is damaged, or does not belong to the others.
            ConfigurationError: a GPU is asked for that cannot be used.
        """
        self.dense = DenseIndex(version, manifest, gpu=gpu)
        self.sparse = None
        self.exact = faiss_index.keeps_vectors(manifest.factory)
        """Whether the vectors are kept as they were given."""
        if index_store.SPARSE in manifest.files:
            self.sparse = SparseIndex(version / index_store.SPARSE)
            if self.sparse.documents != manifest.documents:
                raise IndexCorrupt(f"{version} promises {manifest.documents} sparse vectors, not what is there")

    def vectors(self, rows: Sequence[int]) -> PassageVectors:
        """The vectors of different documents, the sparse ones from one look at all entries.

        Raises ``RetrievalError`` if FAISS fails.
        """
        chosen = np.array(rows, np.int64)
        sparse = None if self.sparse is None else self.sparse.vectors(chosen)
        return replace(self.dense.vectors(chosen), sparse=sparse)
