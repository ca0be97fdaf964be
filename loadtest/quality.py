"""nDCG@10 of every strategy on judged sets: ``python -m loadtest.quality DATA --sets scifact cosqa [--queries 40]``.

DATA holds folders in the BEIR layout. Each set is ranked over two first stages, the best ``--depth`` of each: BM25's
list of 100, which is ``candidates.jsonl`` or ``runs/bm25_test_top100.tsv``, and the service's own hybrid over the set's
corpus. A strategy made of several is spelt with its parts, as ``fusion(sliding,groupwise)``, or
``cascade(groupwise,setwise@20)``, where a number is how many are left. Queries are drawn with a seed. What is done is
kept in ``--kept``, so that a run that was stopped goes on where it was; the tables in Markdown are printed from there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean

from service.cli.measuring import Sample, rerank_lists, search_queries
from service.corpus.beir import BeirFolder, Qrels
from service.corpus.candidate_lists import given_lists
from service.domain import Parameters, Part, RerankOptions, RetrievalMode
from service.evaluation.comparison import compare
from service.evaluation.evaluate import Conditions
from service.evaluation.findings import Found
from service.evaluation.significance import holm, paired_bootstrap
from service.settings import load

BM25, HYBRID = "BM25", "hybrid"
OFFICIAL, TEST = "test_official_full", "test"
BM25_RUN = "bm25_test_top100"


@dataclass(frozen=True, slots=True)
class Cell:
    """One strategy, or the first stage itself, on one set: nDCG@10 of each query, and mean costs of a query."""

    set: str
    first_stage: str
    strategy: str
    ndcg: list[float]
    prompts: float
    rounds: float
    tokens: float


def main() -> None:
    """Measure what is not kept yet, then print the tables."""
    options = _options()
    for name, first_stage in product(options.sets, options.lists):
        _measure(options, name, first_stage)
    print(tables([cell for cell in _kept(options.kept) if cell.set in options.sets]))


def tables(cells: Sequence[Cell]) -> str:
    """Quality of each strategy on each list, what it gains there, and what it costs, in Markdown."""
    return f"{_quality_table(cells)}\n\n{_gain_table(cells)}\n\n{_cost_table(cells)}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--strategies", nargs="+", default=["single", "top_down", "tournament", "sliding", "groupwise"])
    parser.add_argument("--lists", nargs="+", choices=(BM25, HYBRID), default=(BM25, HYBRID))
    parser.add_argument("--depth", type=int, default=100, help="candidates of each list")
    parser.add_argument("--queries", type=int, default=40, help="of each set, all if it has fewer")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--first-stage-weight", type=float, help="how much the first stage's order counts")
    parser.add_argument("--kept", type=Path, default=Path("quality.jsonl"))
    return parser.parse_args()


def _measure(options: argparse.Namespace, name: str, first_stage: str) -> None:
    """Rank one set over one first stage with each strategy that is not kept yet, and keep what comes of it."""
    there = {cell.strategy for cell in _kept(options.kept) if (cell.set, cell.first_stage) == (name, first_stage)}
    wanted = [strategy for strategy in options.strategies if strategy not in there]
    if not wanted:
        return
    folder = BeirFolder(options.data / name)
    qrels = folder.qrels(OFFICIAL if folder.candidates_file() else TEST)
    found = asyncio.run(
        _rank(
            folder,
            qrels,
            first_stage,
            {strategy: _way(options, strategy) for strategy in wanted},
            Sample(options.queries, options.seed),
        )
    )
    with options.kept.open("a", encoding="utf-8") as file:
        for row in compare(found.measurements, qrels):
            cell = Cell(name, first_stage, row.name, [*row.ndcg.values()], row.prompts, row.rounds, row.tokens)
            if row.name not in there:
                file.write(json.dumps(asdict(cell)) + "\n")


def _way(options: argparse.Namespace, strategy: str) -> Conditions:
    return Conditions(
        mode=RetrievalMode.HYBRID,
        candidates=options.depth,
        rerank=replace(_named(strategy), first_stage_weight=options.first_stage_weight),
        timeout_ms=600_000,
    )


def _named(strategy: str) -> RerankOptions:
    """What a strategy's name asks for, with the parts of one that is made of several."""
    name, _, inside = strategy.rstrip(")").partition("(")
    if not inside:
        return RerankOptions(strategy=name)
    parts = tuple(
        Part(strategy=part, depth=int(depth) if depth else None)
        for part, _, depth in (each.partition("@") for each in inside.split(","))
    )
    chosen = Parameters(stages=parts) if name == "cascade" else Parameters(members=parts)
    return RerankOptions(strategy=name, parameters=chosen)


async def _rank(
    folder: BeirFolder, qrels: Qrels, first_stage: str, ways: dict[str, Conditions], sample: Sample
) -> Found:
    settings = load()
    if first_stage == BM25:
        run = None if folder.candidates_file() else BM25_RUN
        judged = (one for one in given_lists(folder, run) if one.query_id in qrels)
        lists = sample.of(sorted(judged, key=lambda one: one.query_id))
        return await rerank_lists(settings, lists, ways)
    queries = dict(sample.of(sorted((key, text) for key, text in folder.queries().items() if key in qrels)))
    return await search_queries(settings, queries, folder, ways)


def _kept(path: Path) -> list[Cell]:
    if not path.exists():
        return []
    return [Cell(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _by_list(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """The cells of each set and first stage, that of the first stage itself first."""
    lists: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        lists.setdefault((cell.set, cell.first_stage), []).append(cell)
    yield from lists.values()


def _quality_table(cells: Sequence[Cell]) -> str:
    """nDCG@10; a star where the difference to the first stage is significant at .05 (paired bootstrap, Holm)."""
    strategies = list(dict.fromkeys(cell.strategy for cell in cells))
    rows = [["set", "queries", "list", *strategies]]
    for first_stage, *ranked in _by_list(cells):
        p_values = holm([paired_bootstrap(cell.ndcg, first_stage.ndcg).p for cell in ranked])
        stars = {cell.strategy: "*" if p < 0.05 else "" for cell, p in zip(ranked, p_values, strict=True)}
        shown = {cell.strategy: f"{fmean(cell.ndcg):.3f}".lstrip("0") for cell in (first_stage, *ranked)}
        values = [shown.get(strategy, "") + stars.get(strategy, "") for strategy in strategies]
        rows.append([first_stage.set, str(len(first_stage.ndcg)), first_stage.first_stage, *values])
    return _markdown(rows)


def _gain_table(cells: Sequence[Cell]) -> str:
    """What each strategy adds to the first stage's nDCG@10: mean and 95% interval of the paired bootstrap."""
    rows = [["set", "list", "strategy", "gain", "95%", "p"]]
    for first_stage, *ranked in _by_list(cells):
        for cell in ranked:
            gain = paired_bootstrap(cell.ndcg, first_stage.ndcg)
            interval = f"{gain.low:+.3f} to {gain.high:+.3f}"
            rows.append([cell.set, cell.first_stage, cell.strategy, f"{gain.mean:+.3f}", interval, f"{gain.p:.4f}"])
    return _markdown(rows)


def _cost_table(cells: Sequence[Cell]) -> str:
    """What a query costs, as a mean over all lists."""
    rows = [["strategy", "prompts", "rounds", "tokens"]]
    for strategy in dict.fromkeys(cell.strategy for cell in cells if cell.prompts):
        some = [cell for cell in cells if cell.strategy == strategy]
        costs = [fmean(getattr(cell, cost) for cell in some) for cost in ("prompts", "rounds", "tokens")]
        rows.append([strategy, *(f"{cost:,.0f}" for cost in costs)])
    return _markdown(rows)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


if __name__ == "__main__":
    main()
