from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.evaluation.runs import ranked_list, write_run


@given(st.lists(st.floats(-1e6, 1e6), max_size=50))
def test_scores_fall_strictly_in_single_precision_and_the_order_stays(scores: list[float]) -> None:
    ranked = ranked_list((str(position), score) for position, score in enumerate(scores))
    assert [document_id for document_id, _ in ranked] == [str(position) for position in range(len(scores))]
    single = [np.float32(score) for _, score in ranked]
    assert all(above > below for above, below in pairwise(single))


def test_scores_that_fall_already_are_kept() -> None:
    assert ranked_list([("a", 2.5), ("b", 0.5), ("c", -1.0)]) == (("a", 2.5), ("b", 0.5), ("c", -1.0))


def test_the_file_is_in_trec_format_and_keeps_the_order(tmp_path: Path) -> None:
    path = tmp_path / "first.run"
    write_run(path, {"q1": ranked_list([("b", 1.0), ("a note.md#1", 1.0)]), "q2": ()}, "hybrid")
    rows = [line.split(" ") for line in path.read_text().splitlines()]
    assert [row[:4] + row[5:] for row in rows] == [
        ["q1", "Q0", "b", "1", "hybrid"],
        ["q1", "Q0", "a%20note.md#1", "2", "hybrid"],
    ]
    assert np.float32(rows[0][4]) > np.float32(rows[1][4])
