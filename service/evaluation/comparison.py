"""Several strategies over the same queries: what each gives, what it costs, and whether the difference is real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from service.corpus.beir import Qrels
from service.evaluation.evaluate import Measured
from service.evaluation.metrics import ndcg_by_query
from service.evaluation.report import Latency, first_stage_run, latency, reranked_run
from service.evaluation.significance import Difference, holm, paired_bootstrap

FIRST_STAGE = "first stage"

COLUMNS = (
    "strategy",
    "profile",
    "nDCG@10",
    "difference",
    "95%",
    "p",
    "prompts",
    "rounds",
    "tokens",
    "p50 ms",
    "p95 ms",
)
"""What ``cells`` gives of a row."""

Measurements = Mapping[str, Sequence[Measured]]
"""What was measured over the same queries, by the name of what ranked them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to rank. Costs are means of a query: prompts, rounds, and tokens of prompts.

    ``difference`` is that of nDCG@10 to the row compared with, which has none itself.
    """

    name: str
    profile: str | None
    ndcg: Mapping[str, float]
    difference: Difference | None
    prompts: float
    rounds: float
    tokens: float
    latency: Latency | None

    @property
    def ndcg_at_10(self) -> float:
        """The mean over the queries."""
        return fmean(self.ndcg.values())


def compare(measurements: Measurements, qrels: Qrels, *, seed: int = 0, given: bool = False) -> list[Row]:
    """The first stage, then each of ``measurements`` in its order; differences are to the first of these.

    Their p-values are corrected for how many there are (Holm). ``given`` says that the candidates were, so that the
    first stage has no latency.
    """
    measured = next(iter(measurements.values()))
    judged = {one.query_id: qrels[one.query_id] for one in measured if one.query_id in qrels}
    times = None if given else latency(one.first_stage_ms for one in measured)
    rows = [Row(FIRST_STAGE, None, ndcg_by_query(first_stage_run(measured), judged), None, 0.0, 0.0, 0.0, times)]
    rows += [_row(name, some, judged) for name, some in measurements.items()]
    return _with_differences(rows, against=rows[1], seed=seed)


def cells(row: Row) -> list[str]:
    """A row's figures as they are shown, one for each of ``COLUMNS``; empty where there is none."""
    found, times = row.difference, row.latency
    apart = [f"{found.mean:+.4f}", f"{found.low:+.4f} to {found.high:+.4f}", f"{found.p:.4f}"] if found else [""] * 3
    cost = [f"{row.prompts:.1f}", f"{row.rounds:.1f}", f"{row.tokens:,.0f}"]
    took = [f"{times.p50:.1f}", f"{times.p95:.1f}"] if times else [""] * 2
    return [row.name, row.profile or "", f"{row.ndcg_at_10:.4f}", *apart, *cost, *took]


def _row(name: str, measured: Sequence[Measured], judged: Qrels) -> Row:
    rankings = [one.ranking for one in measured]
    return Row(
        name=name,
        profile=rankings[0].profile,
        ndcg=ndcg_by_query(reranked_run(measured), judged),
        difference=None,
        prompts=fmean(ranking.prompts for ranking in rankings),
        rounds=fmean(ranking.rounds for ranking in rankings),
        tokens=fmean(ranking.prompt_tokens for ranking in rankings),
        latency=latency(one.total_ms for one in measured),
    )


def _with_differences(rows: Sequence[Row], *, against: Row, seed: int) -> list[Row]:
    others = [row for row in rows if row is not against]
    base = list(against.ndcg.values())
    found = [paired_bootstrap(list(row.ndcg.values()), base, seed=seed) for row in others]
    corrected = holm([difference.p for difference in found])
    compared = {row.name: replace(difference, p=p) for row, difference, p in zip(others, found, corrected, strict=True)}
    return [replace(row, difference=compared.get(row.name)) for row in rows]
