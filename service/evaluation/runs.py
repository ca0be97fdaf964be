"""Runs: what a system returned for each query, best first, and the TREC file format for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np

RankedList = tuple[tuple[str, float], ...]
"""Document ids with scores, best first; the scores fall strictly, also in single precision."""

Run = Mapping[str, RankedList]
"""Ranked lists by query id."""


def ranked_list(scored: Iterable[tuple[str, float]]) -> RankedList:
    """``scored`` in its own order, each score moved below the one before it where it is not already.

    trec_eval and its kin order by score in single precision and settle ties by document id, so without this they would
    measure another order than the one returned.
    """
    falling = []
    bound = np.float32(np.inf)
    for document_id, score in scored:
        bound = min(np.float32(score), np.nextafter(bound, np.float32(-np.inf)))
        falling.append((document_id, float(bound)))
    return tuple(falling)


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write ``query Q0 document rank score tag`` lines; white space in ids, for which there is no room, as %20."""
    with path.open("w", encoding="utf-8") as file:
        for query_id, ranked in run.items():
            for rank, (document_id, score) in enumerate(ranked, 1):
                file.write(f"{_word(query_id)} Q0 {_word(document_id)} {rank} {score:.9g} {_word(tag)}\n")


def _word(text: str) -> str:
    return re.sub(r"\s", lambda found: quote(found[0]), text)
