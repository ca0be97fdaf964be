"""``onepass evaluate``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from service.cli.console import OUT, note, warn
from service.cli.evaluation_tables import comparison, side_by_side
from service.cli.measuring import Sample, rerank_lists, search_queries
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
from service.corpus.beir import BeirFolder
from service.corpus.candidate_lists import given_lists
from service.corpus.stdlib_docs import StdlibDocs
from service.demo import JUDGED
from service.domain import RerankOptions, RetrievalMode
from service.engines import find_profile
from service.errors import InvalidInput
from service.evaluation.evaluate import Conditions
from service.evaluation.findings import Findings
from service.evaluation.page import curves
from service.evaluation.report import first_stage_run, report, reranked_run
from service.evaluation.runs import write_run
from service.settings import Settings

DEMO = "demo"
WIDE = 140


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
    feedback: Annotated[
        bool, typer.Option("--feedback", help="Search again with a vector moved toward what the reranker liked.")
    ] = False,
    chunks: Annotated[
        int | None,
        typer.Option(
            min=0, max=8, help="Rank so many chunks of a long document; 0: its start.", show_default="the profile's"
        ),
    ] = None,
    first_stage_weight: Annotated[
        float | None,
        typer.Option(min=0, max=10, help="How much the first stage's order counts.", show_default="the profile's"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first so many judged queries.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Queries under way at once.")] = 1,
    relevant_from: Annotated[int, typer.Option(min=1, help="Lowest grade that MRR and recall call relevant.")] = 1,
    timeout_ms: Timeout = 60_000,
    compare: Annotated[
        str | None,
        typer.Option(
            help="Strategies to compare with the first of them, such as `sliding,top_down`; `PROFILE:STRATEGY` asks "
            "another profile."
        ),
    ] = None,
    curve: Annotated[
        Path | None, typer.Option(help="Draw nDCG@10 against prompts spent, for each strategy, as SVG there.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with plots there; it loads nothing.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Draw the `--limit` queries at random with it.", show_default="the first ones")
    ] = None,
    run_out: Annotated[Path | None, typer.Option(help="Write both orders there as TREC run files.")] = None,
    indexes_dir: IndexesDir = None,
) -> None:
    """Measure first stage and reranked order, side by side, against human judgements."""
    named = compare.split(",") if compare else [strategy] if strategy else []
    settings, ways = _ways(settings_with(indexes_dir=indexes_dir, index=index, profile=profile), named)
    asked = Conditions(
        index=index,
        mode=mode or settings.indexes.mode,
        candidates=candidates,
        top_k=top_k,
        feedback=feedback,
        timeout_ms=timeout_ms,
        concurrency=concurrency,
    )
    conditions = {
        name: replace(asked, rerank=replace(options, chunks=chunks, first_stage_weight=first_stage_weight))
        for name, options in ways.items()
    }
    is_given = given or run is not None
    if feedback and (is_given or asked.mode not in {RetrievalMode.DENSE, RetrievalMode.HYBRID}):
        raise InvalidInput("feedback moves a dense vector: it needs a dense or hybrid search", field="feedback")
    judged = BeirFolder(JUDGED if folder == DEMO else Path(folder))
    judgements, sample = judged.qrels(qrels), Sample(limit, seed)
    if is_given:
        lists = sample.of(one for one in given_lists(judged, run) if one.query_id in judgements)
        found = asyncio.run(rerank_lists(settings, lists, conditions))
    else:
        queries = dict(sample.of((key, text) for key, text in judged.queries().items() if key in judgements))
        corpus = None if index else StdlibDocs() if folder == DEMO else judged
        found = asyncio.run(search_queries(settings, queries, corpus, conditions))

    first_stage = run or ("given lists" if given else f"{asked.mode} first stage")
    findings = Findings(judged.name, first_stage, found, judgements, relevant_from, given=is_given)
    if compare is None:
        OUT.print(_side_by_side(settings, findings))
    else:  # a narrow terminal breaks its lines, which is better than to cut the figures
        OUT.print(comparison(findings.rows(), judged.name), width=max(OUT.width, WIDE), crop=False)
    for name, count in findings.cut_short().items():
        warn(f"{name}: {count} of {findings.queries} queries were not reranked to the end.")
    if curve is not None:
        curve.write_text(curves(findings.anytime()), encoding="utf-8")
        note(f"The curve is in {curve}")
    if html is not None:
        html.write_text(findings.page(), encoding="utf-8")
        note(f"The report is in {html}")
    if run_out is not None:
        _write_runs(run_out, findings)


def _ways(settings: Settings, named: Sequence[str]) -> tuple[Settings, dict[str, RerankOptions]]:
    """How to rank, by name: as usual where nothing is named. The settings come back with every profile served."""
    if not named:
        return settings, {settings.ranking.strategy or find_profile(settings).strategy: RerankOptions()}
    ways = {}
    for name in map(str.strip, named):
        profile, _, strategy = name.rpartition(":")
        ways[name] = RerankOptions(profile=profile or None, strategy=strategy)
    profiles = [options.profile for options in ways.values() if options.profile is not None]
    ranking = settings.ranking.model_copy(update={"profiles": (*settings.ranking.profiles, *profiles)})
    return settings.model_copy(update={"ranking": ranking}), ways


def _side_by_side(settings: Settings, findings: Findings) -> Table:
    ((strategy, measured),) = findings.found.measurements.items()
    figures = report(measured, findings.qrels, relevant_from=findings.relevant_from, given=findings.given)
    return side_by_side(figures, findings.name, findings.first_stage, f"{settings.ranking.profile}, {strategy}")


def _write_runs(folder: Path, findings: Findings) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    measurements = findings.found.measurements
    write_run(folder / "first_stage.run", first_stage_run(next(iter(measurements.values()))), findings.first_stage)
    for name, measured in measurements.items():
        file = "reranked" if len(measurements) == 1 else name.replace(":", "-")
        write_run(folder / f"{file}.run", reranked_run(measured), name)
    note(f"Run files are in {folder}")
