"""Measures fine-tuning on judged queries that are kept out of it.

BM25's best documents of each query are reranked, whether or not a relevant one is among them. So nDCG@10 is that of a
search with this first stage.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from service.corpus.beir import Qrels
from service.corpus.files import unreadable
from service.evaluation.metrics import ndcg_by_query
from service.evaluation.runs import ranked_list
from service.evaluation.significance import Difference, paired_bootstrap
from training.collection import Collection, Lists, bm25

SHARE, MOST = 0.1, 100  # of the judged queries
DEPTH = 50  # of the lists that are reranked
_FEWEST_JUDGED = 10
_FEWEST_MEASURED = 20  # the interval of fewer queries says little


@dataclass(frozen=True)
class HeldOut:
    """BM25's lists of the queries held out, and their judgements."""

    lists: Lists
    qrels: Qrels


def split(folder: Path, collection: Collection, seed: int, share: float = SHARE) -> tuple[Collection, HeldOut]:
    """The part of the collection from ``folder`` to train on, and the queries to measure with.

    Raises:
        InvalidInput: too few queries have a relevant document.
    """
    judged = collection.answerable()
    if len(judged) < _FEWEST_JUDGED:
        why = f"{len(judged)} queries have a relevant document, at least {_FEWEST_JUDGED} are needed"
        raise unreadable(folder / "qrels" / "train.tsv", why)
    count = min(MOST, max(1, int(share * len(judged))))
    names = list(judged)
    held = sorted(names[i] for i in np.random.default_rng(seed).permutation(len(names))[:count])
    qrels = {query: collection.qrels[query] for query in held}
    train = replace(collection, qrels={query: grades for query, grades in judged.items() if query not in qrels})
    return train, HeldOut(bm25(collection, held, DEPTH), qrels)


@dataclass(frozen=True)
class Figures:
    """nDCG@10 of the queries held out: of BM25, and of its lists reranked before and after training."""

    queries: int
    first_stage: float
    before: float
    after: float
    difference: Difference
    """Of after and before, with its 95% interval."""

    def __str__(self) -> str:
        found = (
            f"nDCG@10 of {self.queries} held-out queries: BM25 {self.first_stage:.3f}, before {self.before:.3f},"
            f" after {self.after:.3f}"
        )
        if self.queries < _FEWEST_MEASURED:
            return f"{found}; too few queries for an interval"
        change = self.difference
        return f"{found}; change {change.mean:+.3f} (95%: {change.low:+.3f} to {change.high:+.3f}, p {change.p:.2g})"

    def write(self, file: Path) -> None:
        """As JSON."""
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def compared(held_out: HeldOut, before: Lists, after: Lists) -> Figures:
    """The figures of two orders of the same lists."""
    first, old, new = (_ndcg(lists, held_out.qrels) for lists in (held_out.lists, before, after))
    return Figures(len(first), fmean(first), fmean(old), fmean(new), paired_bootstrap(new, old))


def _ndcg(lists: Mapping[str, list[str]], qrels: Qrels) -> list[float]:
    run = {query: ranked_list((name, -place) for place, name in enumerate(names)) for query, names in lists.items()}
    return list(ndcg_by_query(run, qrels).values())
