"""What an evaluation found, as tables of the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from service.evaluation.comparison import COLUMNS, Row, cells
from service.evaluation.report import Report

_SIGNIFICANT = 0.05


def side_by_side(figures: Report, name: str, first_stage: str, reranker: str) -> Table:
    """One row a figure: first stage, reranked, and what the reranking changed."""
    table = Table("", title=f"{name}: {figures.queries} queries", title_justify="left")
    for heading in (first_stage, reranker, "change"):
        table.add_column(heading, justify="right")
    before, after = figures.first_stage, figures.reranked
    for label, field in (("nDCG@10", "ndcg_at_10"), ("MRR@10", "mrr_at_10"), ("recall@100", "recall_at_100")):
        was, now = getattr(before.scores, field), getattr(after.scores, field)
        table.add_row(label, f"{was:.4f}", f"{now:.4f}", _change(now - was))
    for label, field in (("p50 ms", "p50"), ("p95 ms", "p95")):
        was = "" if before.latency is None else f"{getattr(before.latency, field):.1f}"
        now = "" if after.latency is None else f"{getattr(after.latency, field):.1f}"
        table.add_row(label, was, now, "")
    return table


def comparison(rows: Sequence[Row], name: str) -> Table:
    """One row a strategy; a difference that is no accident is coloured."""
    table = Table(title=f"{name}: {len(rows[0].ndcg)} queries", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in {"strategy", "profile"} else "right")
    for row in rows:
        shown = dict(zip(COLUMNS, map(Text, cells(row)), strict=True))
        if row.difference is not None and row.difference.p < _SIGNIFICANT:
            shown["difference"].stylize(_style(row.difference.mean))
        table.add_row(*shown.values())
    return table


def _change(difference: float) -> Text:
    rounded = round(difference, 4)
    return Text(f"{rounded:+.4f}", _style(rounded))


def _style(difference: float) -> str:
    return "green" if difference > 0 else "red" if difference < 0 else ""
