"""An encoder without a model: a vector for each wordpiece, added up with weights. A hundred times as fast as encoders.

The token vectors are distilled from a sentence encoder and fitted for retrieval by ``training/static_embedder``. The
idea of a static encoder distilled this way is Model2Vec's (https://github.com/MinishLab/model2vec); weighting by
frequency goes back to SIF (Arora et al., 2017). Queries and passages share the vectors but weigh the pieces
differently, because a word that says little in a question ("how", "explain") may say much in a passage.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.deadline import Deadline
from service.domain import Document
from service.errors import ConfigurationError
from service.retrieval.embedding.embedder import PassageVectors, QueryVectors, Vectors, passage_text
from service.retrieval.embedding.wordpiece import WordPieces

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "models" / "static-embedder"

_FILES = ("pieces.txt", "vectors.npy", "query_scales.npy", "passage_scales.npy")
_MAX_CHARACTERS = 4_096
_CHUNK = 2_048
_TINY = np.float32(1e-30)

Scalar = TypeVar("Scalar", bound=np.generic)


class StaticEmbedder:
    """Implements ``Embedder`` from a folder of four files, which the class only reads. It gives no sparse vectors.

    ``pieces.txt``: one wordpiece a line; ``vectors.npy``: int8 [pieces, dimension]; ``query_scales.npy`` and
    ``passage_scales.npy``: float32 [pieces], what a row is multiplied with, its weight included.
    """

    sparse = False

    def __init__(self, folder: Path = DEFAULT_FOLDER) -> None:
        """Load the weights. Raises ``ConfigurationError`` when the folder does not hold them."""
        try:
            contents = {name: (folder / name).read_bytes() for name in _FILES}
            pieces = contents["pieces.txt"].decode("utf-8").splitlines()
            self._vectors: Vectors = _array(contents, "vectors.npy", np.dtype(np.int8), 2).astype(np.float32)
            self._query_scales = _array(contents, "query_scales.npy", np.dtype(np.float32), 1)
            self._passage_scales = _array(contents, "passage_scales.npy", np.dtype(np.float32), 1)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the static embedder cannot be read from {folder}: {error}") from error
        lengths = {len(pieces), len(self._vectors), len(self._query_scales), len(self._passage_scales)}
        if len(lengths) != 1:
            raise ConfigurationError(f"the static embedder in {folder} is inconsistent: lengths {sorted(lengths)}")
        digest = hashlib.sha256(b"".join(hashlib.sha256(contents[name]).digest() for name in _FILES)).hexdigest()
        self._id = f"static-{self.dimension}-{digest[:12]}"
        self._pieces = WordPieces(pieces, _MAX_CHARACTERS)
        # A text whose pieces add up to zero, such as one without any, gets this direction: every row is a unit vector.
        self._nothing = np.full(self.dimension, self.dimension**-0.5, dtype=np.float32)

    @property
    def id(self) -> str:
        """Kind, dimension and a hash of the weights."""
        return self._id

    @property
    def dimension(self) -> int:
        """Length of each vector."""
        return int(self._vectors.shape[1])

    async def embed_query(self, text: str, deadline: Deadline) -> QueryVectors:
        """The vector of a query. Raises ``DeadlineExceeded``."""
        (vector,) = await self._embed([text], self._query_scales, deadline)
        return QueryVectors(vector)

    async def embed_passages(self, documents: Sequence[Document], deadline: Deadline) -> PassageVectors:
        """The vectors of passages, one piece each. Raises ``DeadlineExceeded``."""
        texts = [passage_text(document) for document in documents]
        return PassageVectors.whole(await self._embed(texts, self._passage_scales, deadline))

    async def close(self) -> None:
        """Nothing to release."""

    async def _embed(self, texts: Sequence[str], scales: NDArray[np.float32], deadline: Deadline) -> Vectors:
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), _CHUNK):
            deadline.check("embedding")
            chunk = texts[start : start + _CHUNK]
            vectors[start : start + len(chunk)] = await asyncio.to_thread(self._pool, chunk, scales)
        return vectors

    def _pool(self, texts: Sequence[str], scales: NDArray[np.float32]) -> Vectors:
        pooled = np.empty((len(texts), self.dimension), dtype=np.float32)
        for position, text in enumerate(texts):
            rows = self._pieces.rows(text)
            # take is twice as fast as indexing for so few rows; no rows add up to a zero vector.
            pooled[position] = scales.take(rows) @ self._vectors.take(rows, axis=0)
        lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
        unit: Vectors = np.where(lengths > 0, pooled / np.maximum(lengths, _TINY), self._nothing)
        return unit


def _array(contents: Mapping[str, bytes], name: str, dtype: np.dtype[Scalar], dimensions: int) -> NDArray[Scalar]:
    array: NDArray[Scalar] = np.load(io.BytesIO(contents[name]), allow_pickle=False)
    if array.dtype != dtype or array.ndim != dimensions:
        raise ValueError(f"{name} holds {array.dtype} of shape {array.shape}")
    return array
