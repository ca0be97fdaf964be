from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.encoders.sparse_vectors import SparseVectors


def row(**weights: float) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    terms = np.array([int(name[1:]) for name in weights], np.uint32)
    return terms, np.array(list(weights.values()), np.float32)


ROWS = [row(t1=0.5, t7=2.0), row(), row(t0=1.0)]


def told(vectors: SparseVectors) -> list[dict[int, float]]:
    rows = [vectors.row(number) for number in range(vectors.rows)]
    return [dict(zip(terms.tolist(), weights.tolist(), strict=True)) for terms, weights in rows]


def test_rows_come_back_as_they_were_given() -> None:
    assert told(SparseVectors.joined(ROWS)) == [{1: 0.5, 7: 2.0}, {}, {0: 1.0}]


def test_no_rows_are_no_vectors() -> None:
    none = SparseVectors.joined([])
    assert (none.rows, len(none.terms), len(none.weights)) == (0, 0, 0)
    assert (str(none.terms.dtype), str(none.weights.dtype)) == ("uint32", "float32")


def test_rows_are_taken_in_the_order_asked_for_and_more_than_once() -> None:
    assert told(SparseVectors.joined(ROWS).take([2, 0, 2])) == [{0: 1.0}, {1: 0.5, 7: 2.0}, {0: 1.0}]
