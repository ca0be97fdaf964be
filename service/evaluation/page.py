"""An evaluation as a page of HTML that loads nothing: the conditions, the table, and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.corpus.beir import Qrels
from service.evaluation import plots
from service.evaluation.comparison import COLUMNS, Measurements, Row, cells
from service.evaluation.evaluate import Measured
from service.evaluation.html import document
from service.evaluation.plots import Axes, Points

_LEGEND = (
    "Differences are in nDCG@10 to the first strategy, over the same queries: mean, 95% interval of 10,000 paired "
    "bootstrap samples, and the p-value corrected for the number of comparisons (Holm). Prompts, rounds and tokens are "
    "means of a query."
)


def curves(series: Mapping[str, Points]) -> str:
    """The picture of nDCG@10 against prompts spent."""
    return plots.steps(Axes("nDCG@10 when stopped after so many prompts", "prompts", "nDCG@10"), series)


def page(
    title: str,
    facts: Mapping[str, str],
    rows: Sequence[Row],
    measurements: Measurements,
    anytime: Mapping[str, Points],
    relevant: Qrels,
) -> str:
    """The whole page; ``relevant`` holds the grades of those documents that count as relevant."""
    cost = {row.name: [(row.tokens, row.ndcg_at_10)] for row in rows}
    first_stage, *ranked = rows
    drawn = [curves(anytime), plots.dots(Axes("Quality against cost", "tokens of prompts a query", "nDCG@10"), cost)]
    drawn += [_gains(row, first_stage) for row in ranked]
    drawn += [_shifts(name, measured, relevant) for name, measured in measurements.items()]
    return document(title, facts, _LEGEND, COLUMNS, [cells(row) for row in rows], "".join(drawn))


def _gains(row: Row, first_stage: Row) -> str:
    """Each query's nDCG@10 less the first stage's, from the greatest loss to the greatest gain."""
    gains = {query_id: value - first_stage.ndcg[query_id] for query_id, value in row.ndcg.items()}
    ordered = dict(sorted(gains.items(), key=lambda gain: gain[1]))
    return plots.bars(Axes(f"{row.name}: gains and losses over the first stage", "queries", "nDCG@10"), ordered)


def _shifts(name: str, measured: Sequence[Measured], relevant: Qrels) -> str:
    """Where each relevant document stood in the first stage, and where it stands now."""
    points = [
        (float(before[document_id]), float(after[document_id]))
        for one in measured
        for before, after in [(_ranks(one.first_stage), _ranks(one.reranked))]
        for document_id in relevant.get(one.query_id, {})
        if document_id in before
    ]
    axes = Axes(f"{name}: ranks of relevant passages", "rank in the first stage", "rank")
    return plots.dots(axes, {"below the line: better": points}, diagonal=True)


def _ranks(ranked: Sequence[tuple[str, float]]) -> dict[str, int]:
    return {document_id: rank for rank, (document_id, _) in enumerate(ranked, 1)}
