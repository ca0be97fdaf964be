"""``onepass evaluate``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, TypeVar

import typer
from rich.table import Table
from rich.text import Text

from service.app import build_pipeline, find_profile
from service.cli.building import build
from service.cli.console import OUT, note, warn
from service.cli.options import (
    Candidates,
    IndexesDir,
    Mode,
    Profile,
    Strategy,
    Timeout,
    TopK,
    settings_with,
)
from service.cli.progress import progress
from service.corpus.beir import BeirFolder
from service.corpus.candidate_lists import CandidateList, given_lists
from service.corpus.source import Source
from service.corpus.stdlib_docs import StdlibDocs
from service.demo import JUDGED
from service.domain import RerankOptions
from service.errors import InvalidInput
from service.evaluation.evaluate import Conditions, Measured, evaluate_rerank, evaluate_search
from service.evaluation.report import Report, first_stage_run, report, reranked_run
from service.evaluation.runs import write_run
from service.settings import Settings

DEMO = "demo"

T = TypeVar("T")


def evaluate(
    folder: Annotated[
        str,
        typer.Argument(help=f"A BEIR-layout folder, or `{DEMO}` for the questions about the Python standard library."),
    ],
    *,
    qrels: Annotated[str, typer.Option(help="File of the folder's qrels/ to score against.")] = "test",
    mode: Mode = None,
    given: Annotated[
        bool, typer.Option("--given", help="Rerank the lists in candidates.jsonl instead of searching.")
    ] = False,
    run: Annotated[
        str | None, typer.Option(help="Rerank the lists in this file of the folder's runs/.", show_default="search")
    ] = None,
    index: Annotated[
        str | None, typer.Option(help="Search this existing index.", show_default="a new one of the folder's corpus")
    ] = None,
    candidates: Candidates = 100,
    top_k: TopK = 10,
    strategy: Strategy = None,
    profile: Profile = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first so many judged queries.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Queries under way at once.")] = 1,
    relevant_from: Annotated[int, typer.Option(min=1, help="Lowest grade that MRR and recall call relevant.")] = 1,
    timeout_ms: Timeout = 60_000,
    run_out: Annotated[Path | None, typer.Option(help="Write both orders there as TREC run files.")] = None,
    indexes_dir: IndexesDir = None,
) -> None:
    """Measure first stage and reranked order, side by side, against human judgements."""
    settings = settings_with(indexes_dir=indexes_dir, index=index, profile=profile)
    judged = BeirFolder(JUDGED if folder == DEMO else Path(folder))
    conditions = Conditions(
        index=index,
        mode=mode or settings.indexes.mode,
        candidates=candidates,
        top_k=top_k,
        rerank=RerankOptions(strategy=strategy),
        timeout_ms=timeout_ms,
        concurrency=concurrency,
    )
    judgements = judged.qrels(qrels)
    is_given = given or run is not None
    if is_given:
        lists = _first((one for one in given_lists(judged, run) if one.query_id in judgements), limit)
        measured = asyncio.run(_measure_lists(settings, lists, conditions))
    else:
        queries = dict(_first(((key, text) for key, text in judged.queries().items() if key in judgements), limit))
        corpus = StdlibDocs() if folder == DEMO else judged
        measured = asyncio.run(_measure_queries(settings, queries, corpus, conditions))

    figures = report(measured, judgements, relevant_from=relevant_from, given=is_given)
    first_stage = (run or "given lists") if is_given else f"{conditions.mode} first stage"
    reranker = f"{settings.ranking.profile}, {_strategy(settings, strategy)}"
    OUT.print(_table(figures, judged.name, first_stage, reranker))
    if figures.degraded:
        warn(f"{figures.degraded} of {figures.queries} queries were not reranked to the end.")
    if run_out is not None:
        _write_runs(run_out, measured, first_stage, reranker)


def _first(things: Iterable[T], limit: int | None) -> list[T]:
    found = list(islice(things, limit))
    if not found:
        raise InvalidInput("none of the folder's queries is judged in those qrels", field="qrels")
    return found


async def _measure_lists(settings: Settings, lists: Sequence[CandidateList], conditions: Conditions) -> list[Measured]:
    with TemporaryDirectory() as nothing:  # reranking needs no index, so none is opened
        async with build_pipeline(_in_directory(settings, nothing)) as pipeline:
            with progress("Reranking", "queries", len(lists)) as shown:
                return await evaluate_rerank(pipeline, lists, conditions, shown)


async def _measure_queries(
    settings: Settings, queries: Mapping[str, str], corpus: Source, conditions: Conditions
) -> list[Measured]:
    with ExitStack() as stack:
        if conditions.index is None:
            directory = stack.enter_context(TemporaryDirectory(prefix="onepass-"))
            settings = _in_directory(settings, directory)
            await build(Path(directory) / corpus.name, corpus, settings)
        async with build_pipeline(settings) as pipeline:
            with progress("Searching", "queries", len(queries)) as shown:
                return await evaluate_search(pipeline, queries, conditions, shown)


def _in_directory(settings: Settings, directory: str) -> Settings:
    indexes = settings.indexes.model_copy(update={"directory": Path(directory), "default": None})
    return settings.model_copy(update={"indexes": indexes})


def _strategy(settings: Settings, asked: str | None) -> str:
    return asked or settings.ranking.strategy or find_profile(settings).strategy


def _table(figures: Report, name: str, first_stage: str, reranker: str) -> Table:
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


def _change(difference: float) -> Text:
    rounded = round(difference, 4)
    style = "green" if rounded > 0 else "red" if rounded < 0 else ""
    return Text(f"{rounded:+.4f}", style)


def _write_runs(folder: Path, measured: Sequence[Measured], first_stage: str, reranker: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder / "first_stage.run", first_stage_run(measured), first_stage)
    write_run(folder / "reranked.run", reranked_run(measured), reranker)
    note(f"Run files are in {folder}")
