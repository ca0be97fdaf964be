"""The pair of encoders that ships: what they make of a query, and of a passage.

The dense encoder gives one unit vector for a text (Sentence-BERT, arXiv 1908.10084). The sparse one gives a weight for
each entry of its vocabulary: the maximum over the text's tokens of ``log(1 + relu(logit))`` of a masked language model
(SPLADE, arXiv 2107.05720). Both read the same token ids.

A folder holds ``tokenizer.json`` and three graphs, all with a batch of one text:

| file | takes | gives |
|---|---|---|
| ``dense.onnx`` | ``input_ids`` [1, tokens], int64 | ``vector`` [1, dimension], float32, of unit length |
| ``sparse.onnx`` | ``input_ids`` [1, tokens], int64 | ``states`` [tokens, width], float32 |
| ``vocabulary.onnx`` | ``states`` [tokens, width] | ``weights`` [vocabulary], float32 |

and what the last graph multiplies states with: ``head.npy`` [vocabulary, width], int8, and ``head_scales.npy``
[vocabulary, 2], float32, the step of each row and its bias. A passage that is compared with one query needs only the
rows of the query's own terms, a thousandth of the work.

Texts are read one by one, as many at a time as there are threads. Dynamic quantization takes its ranges over a whole
batch, so a batch would make a text's vector depend on its company; and on two cores, texts side by side are read 1.7
times as fast as one text by two threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.domain import TokenIds
from service.encoders.session import open_session
from service.encoders.sparse_vectors import SparseVectors
from service.errors import ProfileError
from service.tokenization.encoder import TokenEncoder
from service.tokenization.sources import FILE_NAME

SHIPPED = Path(__file__).parent.parent / "models" / "encoders"

PIECE_TOKENS = 254
"""Tokens of a text that are read in one piece, beside the two marks around it."""

QUERY_TOKENS = 126

Vector = NDArray[np.float32]
States = NDArray[np.float16]
"""What the sparse encoder makes of each token, shape [tokens, width]."""

_DENSE, _SPARSE, _VOCABULARY = "dense.onnx", "sparse.onnx", "vocabulary.onnx"
_HEAD, _SCALES = "head.npy", "head_scales.npy"
_FILES = (FILE_NAME, _DENSE, _SPARSE, _VOCABULARY, _HEAD, _SCALES)
_BEFORE, _AFTER = "[CLS]", "[SEP]"

_TINY = 1e-9

_A = TypeVar("_A")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class EncodedQuery:
    """A query as both encoders read it: a unit vector, and the terms it looks for with weights of unit length.

    ``rows`` [terms, width] and ``bias`` [terms] are those of the head that say how much of each term a passage holds.
    """

    dense: Vector
    terms: NDArray[np.uint32]
    weights: NDArray[np.float32]
    rows: NDArray[np.float32]
    bias: NDArray[np.float32]

    def sparse_score(self, states: States) -> float:
        """The inner product of the query's sparse vector and that of a passage with these ``states``."""
        if not len(self.terms) or not len(states):
            return 0.0
        logits = (states.astype(np.float32) @ self.rows.T).max(axis=0) + self.bias
        return float(np.log1p(np.maximum(logits, 0.0)) @ self.weights)


class Encoders:
    """Both encoders of ``folder``; ``threads`` texts are read at a time. Safe to use from several threads.

    ``id`` names the weights: vectors of different ids are never compared.

    Raises:
        ProfileError: a file is missing or damaged.
    """

    def __init__(self, folder: Path = SHIPPED, *, threads: int = 2) -> None:
        self._dense = open_session(folder / _DENSE, inputs=("input_ids",), outputs=("vector",))
        self._sparse = open_session(folder / _SPARSE, inputs=("input_ids",), outputs=("states",))
        self._vocabulary = open_session(folder / _VOCABULARY, inputs=("states",), outputs=("weights",))
        self._head, self._scales = _array(folder / _HEAD, np.int8), _array(folder / _SCALES, np.float32)
        if len(self._head) != len(self._scales):
            raise ProfileError(f"{folder / _HEAD}: {len(self._head)} rows for {len(self._scales)} scales")
        self._tokens = TokenEncoder(folder / FILE_NAME, ())
        self._before, self._after = (np.array([self._tokens.single(mark)], np.uint32) for mark in (_BEFORE, _AFTER))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="encoders")
        self.threads = threads
        self.dimension = int(self._dense.get_outputs()[0].shape[-1])
        self.vocabulary = len(self._head)
        self.id = f"{folder.name}@{_digest(folder)}"

    def tokens(self, texts: Sequence[str], budget: int = PIECE_TOKENS) -> list[TokenIds]:
        """Token ids of each text, at most ``budget`` of them, without the marks around a text."""
        return self._tokens.untrusted(texts, budget)

    def dense(self, texts: Sequence[TokenIds]) -> Vector:
        """Unit vectors of texts given as token ids, shape [texts, dimension]."""
        vectors = self.each(self.dense_one, texts)
        return np.stack(vectors) if vectors else np.empty((0, self.dimension), np.float32)

    def sparse(self, texts: Sequence[TokenIds]) -> SparseVectors:
        """Sparse vectors of texts given as token ids."""
        return SparseVectors.joined(self.each(self._sparse_one, texts))

    def query(self, text: str) -> EncodedQuery:
        """A query read by both encoders."""
        return self.query_of(self.tokens([text], QUERY_TOKENS)[0])

    def query_of(self, ids: TokenIds) -> EncodedQuery:
        """A query given as token ids."""
        terms, weights = self._sparse_one(ids)
        weights /= max(float(np.linalg.norm(weights)), _TINY)
        steps, bias = self._scales[terms].T
        rows = self._head[terms].astype(np.float32) * steps[:, np.newaxis]
        return EncodedQuery(self.dense_one(ids), terms, weights, rows, bias)

    def dense_one(self, ids: TokenIds) -> Vector:
        """The unit vector of one text, shape [dimension]."""
        (vector,) = self._dense.run(None, {"input_ids": self._marked(ids)})
        found: Vector = vector[0]
        return found

    def states_one(self, ids: TokenIds) -> States:
        """What the sparse encoder makes of each token of one text."""
        (states,) = self._sparse.run(None, {"input_ids": self._marked(ids)})
        found: States = states.astype(np.float16)
        return found

    def each(self, read: Callable[[TokenIds], _T], texts: Sequence[TokenIds]) -> list[_T]:
        """What ``read`` makes of each text, ``threads`` at a time, the longest first so that none is waited for."""
        longest_first = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
        futures = {place: self._pool.submit(read, texts[place]) for place in longest_first}
        return [futures[place].result() for place in range(len(texts))]

    def submit(self, work: Callable[[_A], _T], argument: _A) -> Future[_T]:
        """``work`` done by one of the threads. Raises ``RuntimeError`` once closed."""
        return self._pool.submit(work, argument)

    def close(self) -> None:
        """End the threads, after the texts they are at."""
        self._pool.shutdown(cancel_futures=True)

    def _sparse_one(self, ids: TokenIds) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        (states,) = self._sparse.run(None, {"input_ids": self._marked(ids)})
        (weights,) = self._vocabulary.run(None, {"states": states})
        terms = np.flatnonzero(weights).astype(np.uint32)
        return terms, weights[terms]

    def _marked(self, ids: TokenIds) -> NDArray[np.int64]:
        return np.concatenate([self._before, ids, self._after]).astype(np.int64)[np.newaxis]


def _array(file: Path, dtype: type[np.generic]) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ProfileError(f"{file}: not a part of a sparse encoder: {error}") from error
    if found.ndim != 2 or found.dtype != dtype:  # noqa: PLR2004  rows and columns
        raise ProfileError(f"{file}: holds {found.dtype} of shape {found.shape}")
    return found


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in _FILES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]
