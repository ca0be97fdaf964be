"""Fits what the evidence of a profile counts, on judged queries: ``python -m training.evidence --help``.

A profile of the embedded kind adds three numbers of a passage: the cosine of its dense vector, its sparse match and its
BM25 score. What each counts is chosen here by nDCG@10 on the train queries of one or several collections, each
collection counting the same, and the sum is scaled to log odds. Minutes on two cores, as nothing is read anew: the
numbers come from indexes that were built before with ``onepass index build FOLDER --name NAME``.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from service.corpus.beir import QRELS, BeirFolder
from service.corpus.files import existing
from service.deadline import Deadline
from service.domain import RetrievalMode
from service.encoders.encoders import SHIPPED as ENCODERS
from service.encoders.encoders import Encoders
from service.evaluation.significance import paired_bootstrap
from service.ranking.profile import SHIPPED, EvidenceWeights, find
from service.retrieval.embedding.encoder_embedder import EncoderEmbedder
from service.retrieval.local_first_stage import LocalFirstStage

DEPTH = 100
SPARSE = (0.0, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3)
LEXICAL = (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02)
"""Tried for a dense weight of one."""

_DISCOUNTS = 1 / np.log2(np.arange(2, 12))

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """The candidates of one query.

    ``evidence`` has shape [candidates, 3]: cosine, sparse match and BM25; ``grades`` [candidates]. ``ideal`` is the
    discounted gain of the best ten grades there are.
    """

    evidence: Floats
    grades: Floats
    ideal: float

    def ndcg(self, weights: Sequence[float]) -> float:
        """nDCG@10 of the order by the weighted sum; 0 if nothing relevant is judged."""
        best = np.argsort(-(self.evidence @ np.asarray(weights)), kind="stable")[: len(_DISCOUNTS)]
        return float(self.grades[best] @ _DISCOUNTS[: len(best)]) / self.ideal if self.ideal else 0.0


@dataclass(frozen=True)
class Fit:
    """Weights in log odds, the odds of nothing, and the cosine to expect of a match alone."""

    weights: EvidenceWeights
    offset: float


async def judged(index: Path, folder: Path, split: str, encoders: Encoders, most: int, seed: int) -> list[Judged]:
    """What the index finds for at most ``most`` judged queries of the folder's split, with its evidence."""
    beir = BeirFolder(folder)
    queries, qrels = beir.queries(), beir.qrels(split)
    names = [name for name, grades in qrels.items() if name in queries and any(grade > 0 for grade in grades.values())]
    chosen = np.random.default_rng(seed).permutation(len(names))[:most]
    stage = LocalFirstStage.open(index, EncoderEmbedder(encoders))
    try:
        return [await _judged(stage, queries[name], qrels[name]) for name in (names[place] for place in sorted(chosen))]
    finally:
        await stage.close()


async def _judged(stage: LocalFirstStage, query: str, grades: dict[str, int]) -> Judged:
    found = await stage.retrieve(query, DEPTH, RetrievalMode.HYBRID, Deadline.never())
    evidence = [each.evidence for each in found.candidates]
    rows = [(one.dense, one.sparse, one.lexical) for one in evidence if one is not None]
    gains = [max(0, grades.get(each.document.id, 0)) for each in found.candidates]
    best = np.array(sorted(grades.values(), reverse=True)[: len(_DISCOUNTS)], float).clip(min=0)
    return Judged(np.array(rows).reshape(-1, 3), np.array(gains, float), float(best @ _DISCOUNTS[: len(best)]))


def fit(sets: Sequence[Sequence[Judged]]) -> Fit:
    """The weights with the best mean nDCG@10 over the collections, scaled to log odds.

    The scale and the offset are those of a logistic regression in which relevant and other candidates count the same.
    """
    ratios = max(product(SPARSE, LEXICAL), key=lambda tried: mean_ndcg(sets, (1.0, *tried)))
    evidence = np.concatenate([each.evidence for queries in sets for each in queries])
    relevant = np.concatenate([each.grades > 0 for queries in sets for each in queries])
    slope, offset = _logistic(evidence @ np.array([1.0, *ratios]), relevant)
    per_match, least = np.polyfit(evidence[:, 1], evidence[:, 0], 1)
    weights = EvidenceWeights(
        dense=round(slope, 2),
        sparse=round(slope * ratios[0], 3),
        lexical=round(slope * ratios[1], 4),
        least_cosine=round(float(least), 3),
        cosine_per_match=round(float(per_match), 3),
    )
    return Fit(weights, round(offset, 2))


def mean_ndcg(sets: Iterable[Sequence[Judged]], weights: Sequence[float]) -> float:
    """nDCG@10, each collection counting the same."""
    return float(np.mean([np.mean([each.ndcg(weights) for each in queries]) for queries in sets]))


def _logistic(values: Floats, positive: NDArray[np.bool_], steps: int = 50) -> tuple[float, float]:
    """Slope and offset of the log odds by Newton's method, both classes weighing the same."""
    weight = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    design = np.stack([values, np.ones_like(values)], axis=1)
    found = np.zeros(2)
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-design @ found))
        gradient = design.T @ (weight * (positive - chance))
        curvature = (design * (weight * chance * (1 - chance))[:, np.newaxis]).T @ design
        found += np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
    return float(found[0]), float(found[1])


def profile_text(name: str, made: Fit, base: str) -> str:
    """A profile file like that of ``base``, with its own name, weights and calibration."""
    content = yaml.safe_load((SHIPPED / f"{base}.yaml").read_text(encoding="utf-8"))
    content |= {"name": name, "evidence": made.weights.model_dump(), "calibration": {"offset": made.offset}}
    return str(yaml.safe_dump(content, sort_keys=False))


def report(name: str, test: Sequence[Judged], before: EvidenceWeights, after: EvidenceWeights) -> str:
    """nDCG@10 on test queries before and after, with the paired interval of the difference."""
    old, new = ([each.ndcg((w.dense, w.sparse, w.lexical)) for each in test] for w in (before, after))
    change = paired_bootstrap(new, old)
    return (
        f"{name}: nDCG@10 {np.mean(old):.3f} -> {np.mean(new):.3f} on {len(test)} test queries"
        f" ({change.mean:+.3f}, 95% {change.low:+.3f} to {change.high:+.3f}, p {change.p:.2g})"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit on the train queries of the collections named, write a profile, and report on the test queries there are."""
    parser = argparse.ArgumentParser(prog="python -m training.evidence", description=__doc__)
    parser.add_argument("pairs", nargs="+", metavar="INDEX=FOLDER", help="an index folder and its judged collection")
    parser.add_argument("--encoders", type=Path, default=ENCODERS, help="folder of the encoders it was built with")
    parser.add_argument("--profile", default="tuned", help="name of the profile")
    parser.add_argument("--base", default="onepass-embedded", help="profile to start from")
    parser.add_argument("--out", type=Path, required=True, help="folder of profiles to write it to")
    parser.add_argument("--queries", type=int, default=500, help="most queries of each collection")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    folders = [tuple(map(Path, pair.split("=", 1))) for pair in asked.pairs]
    with closing(Encoders(asked.encoders)) as encoders:

        def of(split: str, chosen: Sequence[tuple[Path, ...]]) -> list[list[Judged]]:
            return [
                asyncio.run(judged(index, folder, split, encoders, asked.queries, asked.seed))
                for index, folder in chosen
            ]

        made = fit(of("train", folders))
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / f"{asked.profile}.yaml").write_text(
            profile_text(asked.profile, made, asked.base), encoding="utf-8"
        )
        print(made)
        before = find(asked.base).evidence
        assert before is not None, "the base is a profile of encoders"
        tested = [pair for pair in folders if existing(pair[1] / QRELS, "test.tsv") is not None]
        for (_, folder), test in zip(tested, of("test", tested), strict=True):
            print(report(folder.name, test, before, made.weights))


if __name__ == "__main__":
    main()
