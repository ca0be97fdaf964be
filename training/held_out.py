"""Queries of somebody's own set that training does not see, and what a model makes of them before and after.

They are drawn from the train judgements. Each is asked of BM25's best documents as they are, whether or not one of
them is relevant: nDCG@10 is what a search with that first stage would gain.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from service.evaluation.significance import Difference, paired_bootstrap
from training.beir import Qrels
from training.bm25 import BM25
from training.data import Source
from training.errors import UnusableInput
from training.evaluate import Lists, ndcg_by_query
from training.settings import HeldOutSettings
from training.windows import SERVED_LABELS

_FEWEST = 10
_TELLING = 20  # queries; an interval of fewer says little

Order = Mapping[str, list[str]]
"""Documents by query, the best first."""


def split(source: Source, settings: HeldOutSettings, seed: int) -> tuple[Source, Lists]:
    """The part of a collection that trains, and the queries held out with BM25's best documents of each.

    Raises:
        UnusableInput: too few queries have a relevant document, or too few documents are not relevant.
    """
    judged = answerable(source)
    if len(judged) < _FEWEST:
        raise UnusableInput(
            f"only {len(judged)} queries have a relevant document; {_FEWEST} are the fewest to train on"
        )
    widest = max(len(documents) for documents in judged.values())
    if len(source.corpus) - widest < SERVED_LABELS:
        raise UnusableInput(
            f"{len(source.corpus)} documents, up to {widest} of them relevant to a query:"
            f" a window needs {SERVED_LABELS} others"
        )
    names = list(judged)
    count = min(settings.most, max(1, int(settings.share * len(names))))
    held = {names[i] for i in np.random.default_rng(seed).permutation(len(names))[:count]}
    train = replace(source, relevant={query: found for query, found in judged.items() if query not in held})
    return train, listed(source, sorted(held), settings.depth)


def answerable(source: Source) -> Qrels:
    """Judgements of queries whose text is known and that have a relevant document in the corpus."""
    found: Qrels = {}
    for query, documents in source.relevant.items():
        relevant = {name: grade for name, grade in documents.items() if grade > 0 and source.corpus.get(name)}
        if relevant and source.queries.get(query):
            found[query] = relevant
    return found


def listed(source: Source, queries: list[str], depth: int) -> Lists:
    """BM25's best ``depth`` documents of each query, with their texts and judgements."""
    names = list(source.corpus)
    scores = BM25(list(source.corpus.values())).scores([source.queries[query] for query in queries])
    best = torch.from_numpy(scores).topk(min(depth, len(names))).indices.tolist()
    order = {query: [names[i] for i in found] for query, found in zip(queries, best, strict=True)}
    texts = {name: source.corpus[name] for found in order.values() for name in found}
    qrels = {query: source.relevant[query] for query in queries}
    return Lists({query: source.queries[query] for query in queries}, order, texts, qrels)


@dataclass(frozen=True)
class Figures:
    """nDCG@10 of the queries held out: of the first stage, and of the model before and after."""

    queries: int
    first_stage: float
    before: float
    after: float
    difference: Difference
    """Of after and before, with its 95% interval."""

    def __str__(self) -> str:
        found = (
            f"nDCG@10 of {self.queries} queries held out: BM25 {self.first_stage:.3f}, before {self.before:.3f},"
            f" after {self.after:.3f}"
        )
        if self.queries < _TELLING:
            return f"{found}; too few queries to tell a change from chance"
        change = self.difference
        return (
            f"{found}; the change is {change.mean:+.3f}, 95% interval {change.low:+.3f} to {change.high:+.3f},"
            f" p {change.p:.2g}"
        )

    def write(self, file: Path) -> None:
        """As JSON."""
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def compared(lists: Lists, before: Order, after: Order) -> Figures:
    """The figures of two orders of the same lists."""
    first, old, new = (ndcg_by_query(lists.qrels, order) for order in (lists.order, before, after))
    queries = sorted(first)
    change = paired_bootstrap([new[query] for query in queries], [old[query] for query in queries])
    return Figures(len(queries), _mean(first), _mean(old), _mean(new), change)


def _mean(found: Mapping[str, float]) -> float:
    return float(np.mean(list(found.values())))
