from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.encoders.sparse_vectors import SparseVectors
from service.errors import IndexCorrupt, RetrievalError
from service.retrieval import sparse_index
from service.retrieval.embedding.embedder import SparseVector
from service.retrieval.sparse_index import SparseIndex, SparseWriter, best

DOCUMENTS, TERMS = 500, 80


def vector(**weights: float) -> SparseVector:
    terms = sorted((int(name[1:]), weight) for name, weight in weights.items())
    return np.array([term for term, _ in terms], np.uint32), np.array([weight for _, weight in terms], np.float32)


SMALL = SparseVectors.joined([vector(t1=1.0, t5=0.5), vector(), vector(t5=2.0), vector(t1=0.25, t9=3.0)])


@pytest.fixture(scope="module")
def many() -> SparseVectors:
    random = np.random.default_rng(3)
    rows = [np.sort(random.choice(TERMS, random.integers(0, 30), replace=False)) for _ in range(DOCUMENTS)]
    return SparseVectors.joined(
        [(terms.astype(np.uint32), random.uniform(0.1, 3, len(terms)).astype(np.float32)) for terms in rows]
    )


def dense(vectors: SparseVectors) -> np.ndarray:
    table = np.zeros((vectors.rows, TERMS), np.float32)
    for row in range(vectors.rows):
        terms, weights = vectors.row(row)
        table[row, terms] = weights
    return table


def written(folder: Path, *batches: SparseVectors) -> Path:
    with SparseWriter(folder / "spool") as writer:
        for batch in batches:
            writer.add(batch)
        writer.finish(folder / "index")
    return folder / "index"


def test_scores_worked_out_by_hand(tmp_path: Path) -> None:
    index = SparseIndex(written(tmp_path, SMALL))
    assert index.documents == 4
    assert index.scores(vector(t1=2.0, t5=1.0)).tolist() == [2.5, 0.0, 2.0, 0.5]
    assert index.scores(vector(t9=1.0, t10=7.0, t30000=7.0)).tolist() == [0.0, 0.0, 0.0, 3.0]  # terms of no document
    assert index.scores(vector()).tolist() == [0.0] * 4


def test_the_best_come_first_and_equal_ones_in_the_order_of_their_rows() -> None:
    scores = np.array([0.0, 2.0, 1.0, 2.0, 1.0, 0.0, 1.0], np.float32)
    assert best(scores, 3) == [(1, 2.0), (3, 2.0), (2, 1.0)]
    assert [row for row, _ in best(scores, 4)] == [1, 3, 2, 4]
    assert [row for row, _ in best(scores, 100)] == [1, 3, 2, 4, 6]
    assert best(np.zeros(3, np.float32), 2) == []


@pytest.mark.parametrize("block", [1, 7, 10_000])
def test_scores_are_inner_products_however_the_rows_came(
    tmp_path: Path, many: SparseVectors, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(sparse_index, "_BLOCK", block)
    halves = many.take(range(200)), many.take(range(200, DOCUMENTS))
    index = SparseIndex(written(tmp_path, *halves))
    query = many.row(7)
    exact = dense(many) @ dense(SparseVectors.joined([query]))[0]
    assert index.scores(query) == pytest.approx(exact, rel=2e-3)  # weights are kept in half precision
    assert best(index.scores(query), 1)[0][0] == np.argmax(exact)


def test_rows_are_read_back(tmp_path: Path, many: SparseVectors) -> None:
    index = SparseIndex(written(tmp_path, many))
    for rows in (range(DOCUMENTS), range(123, 168), [499], [], [7, 3, 400]):
        back = index.vectors(np.array(rows, np.int64))
        wanted = many.take(rows)
        assert back.starts.tolist() == wanted.starts.tolist()
        assert back.terms.tolist() == wanted.terms.tolist()
        assert back.weights == pytest.approx(wanted.weights, rel=1e-3)


def test_what_is_read_back_is_written_again_as_it_was(tmp_path: Path, many: SparseVectors) -> None:
    once = written(tmp_path, many)
    again = SparseIndex(once).vectors(np.arange(DOCUMENTS))
    (tmp_path / "again").mkdir()
    assert written(tmp_path / "again", again).read_bytes() == once.read_bytes()


def test_an_entry_takes_six_bytes(tmp_path: Path, many: SparseVectors) -> None:
    entries, header, offsets = len(many.terms), 32, 8 * (int(many.terms.max()) + 2)
    assert written(tmp_path, many).stat().st_size == header + offsets + entries * sparse_index.BYTES_PER_ENTRY


@pytest.mark.parametrize("vectors", [SparseVectors.joined([]), SparseVectors.joined([vector(), vector()])])
def test_there_may_be_no_entries(tmp_path: Path, vectors: SparseVectors) -> None:
    index = SparseIndex(written(tmp_path, vectors))
    assert index.scores(vector(t1=1.0)).tolist() == [0.0] * vectors.rows
    assert index.vectors(np.arange(vectors.rows)).rows == vectors.rows


def test_searches_run_side_by_side(tmp_path: Path, many: SparseVectors) -> None:
    index = SparseIndex(written(tmp_path, many))
    queries = [many.row(row) for row in range(100)]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(index.scores, queries))
    assert [scores.tolist() for scores in together] == [index.scores(query).tolist() for query in queries]


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = written(tmp_path, SMALL).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(IndexCorrupt, match="is not a sparse index"):
            SparseIndex(tmp_path / "cut")


@pytest.mark.parametrize("position", [*range(8), *range(16, 32), *range(32, 48)])
def test_a_damaged_header_or_damaged_offsets_are_refused(tmp_path: Path, position: int) -> None:
    damaged = bytearray(written(tmp_path, SMALL).read_bytes())
    damaged[position] ^= 0x81
    (tmp_path / "damaged").write_bytes(damaged)
    with pytest.raises(IndexCorrupt, match="is not a sparse index"):
        SparseIndex(tmp_path / "damaged")


def test_an_entry_of_no_document_is_an_error_of_retrieval(tmp_path: Path) -> None:
    whole = bytearray(written(tmp_path, SMALL).read_bytes())
    rows = 32 + 8 * 11
    whole[rows : rows + 4] = b"\xff\xff\xff\x7f"
    (tmp_path / "damaged").write_bytes(whole)
    with pytest.raises(RetrievalError, match="beyond its 4"):
        SparseIndex(tmp_path / "damaged").scores(vector(t1=1.0))
