"""Quality against prompts for every strategy, without a model: ``python -m loadtest.strategies [--lists 200]``.

Readers that err in stated ways (``loadtest/comparators.py``) rank made-up lists by each strategy. Writes the table of
``docs/strategies.md``, and ``service/ranking/quality.csv``, by which ``auto`` chooses. Takes a few minutes.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from loadtest.comparators import MadeUpList, Reader, Reading
from service.domain import AS_USUAL, Parameters, Sort
from service.ranking.auto import QUALITY
from service.ranking.strategies.plan import Plan, PlanOptions
from service.ranking.strategies.registry import find
from service.ranking.strategies.simulation import simulate

PAGE = Path(__file__).parents[1] / "docs" / "strategies.md"
TYPICAL = Reader(misjudged=0.6, noise=0.5, first=0.5, flips=0.02)
"""Chosen so that a sliding window of 20 comes to what a published listwise model of 7B comes to, .73 from .51."""
READERS = {
    "perfect": Reader(),
    "typical": TYPICAL,
    "partial to the first": Reader(misjudged=0.6, noise=0.3, first=2.0),
    "erratic": Reader(misjudged=0.6, noise=1.0, flips=0.1),
}
SIZES = ((20, 10), (20, 20), (50, 10), (50, 20), (100, 10), (100, 20), (200, 10), (200, 20))
"""Candidates and windows of the table that ``auto`` reads."""
SHOWN = (100, 20)


@dataclass(frozen=True, slots=True)
class Fixed:
    """A strategy with parameters."""

    strategy: str
    parameters: Parameters = AS_USUAL

    def plan(self, count: int, window: int) -> Plan:
        """A plan for the best 10 of so many candidates."""
        options = PlanOptions(window=window, stride=window // 2, most_prompts=10**5, **self.chosen)
        return find(self.strategy)(count, options)

    @property
    def chosen(self) -> dict[str, Any]:
        """The parameters that are not as usual."""
        return {name: value for name, value in asdict(self.parameters).items() if value is not None}


def _consistent(over: str, shuffles: int) -> Fixed:
    return Fixed("self_consistency", Parameters(over=over, shuffles=shuffles))


MENU = (
    Fixed("single"),
    _consistent("single", 3),
    Fixed("top_down"),
    Fixed("merge"),
    Fixed("tournament"),
    Fixed("tourrank"),
    Fixed("groupwise"),
    Fixed("sliding"),
    Fixed("sliding", Parameters(passes=2)),
    Fixed("setwise"),
    Fixed("setwise", Parameters(sort=Sort.BUBBLE)),
    _consistent("top_down", 3),
    _consistent("merge", 3),
    _consistent("merge", 5),
    _consistent("tournament", 3),
    _consistent("sliding", 3),
    _consistent("sliding", 5),
)
"""Plans that ``auto`` chooses from."""
YARDSTICKS = (Fixed("eliminate"), Fixed("pairwise", Parameters(sort=Sort.HEAP)), Fixed("pairwise"))
"""Plans of so many prompts that they are not chosen from."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a plan on average, and the most rounds."""

    ndcg: float
    prompts: float
    rounds: int


def measured(plan: Fixed, reader: Reader, size: tuple[int, int], seeds: range) -> Figures:
    """``plan`` by ``reader``, for so many candidates and such a window, on the lists of ``seeds``."""
    runs = []
    for made_up in (MadeUpList(seed, size[0]) for seed in seeds):
        ended = simulate(plan.plan(*size), Reading(made_up, reader))
        ndcg = made_up.ndcg(ended.order)
        if ndcg is not None:
            runs.append((ndcg, ended.prompts, ended.rounds))
    ndcgs, prompts, rounds = zip(*runs, strict=True)
    return Figures(fmean(ndcgs), fmean(prompts), max(rounds))


def main() -> None:
    """Measure, and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lists", type=int, default=200)
    seeds = range(parser.parse_args().lists)
    with QUALITY.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["candidates", "window", "strategy", "parameters", "ndcg_at_10"])
        for size in SIZES:
            for plan in MENU:
                ndcg = measured(plan, TYPICAL, size, seeds).ndcg
                rows.writerow([*size, plan.strategy, json.dumps(plan.chosen), f"{ndcg:.4f}"])
    table = "\n".join(_table(seeds))
    page = PAGE.read_text(encoding="utf-8")
    marked = r"(?<=<!-- loadtest.strategies -->\n).*?(?=\n<!-- end -->)"
    PAGE.write_text(re.sub(marked, lambda _: table, page, flags=re.DOTALL), encoding="utf-8")


def _table(seeds: range) -> Iterator[str]:
    """A row for each plan, the cheapest first; nDCG@10 by each reader."""
    yield f"| strategy | prompts | rounds | {' | '.join(READERS)} |"
    yield f"|---|{'---:|' * (2 + len(READERS))}"
    first = fmean(ndcg for seed in seeds if (ndcg := _first_stage(seed)) is not None)
    yield f"| first stage | 0 | 0 | {' | '.join([_short(first)] * len(READERS))} |"
    plans = (*MENU, *YARDSTICKS)
    found = [[measured(plan, reader, SHOWN, seeds) for reader in READERS.values()] for plan in plans]
    for plan, by_reader in sorted(zip(plans, found, strict=True), key=lambda row: row[1][1].prompts):
        told = ", ".join(f"{name} {value}" for name, value in plan.chosen.items())
        typical = by_reader[1]
        cost = f"{typical.prompts:.0f} | {typical.rounds}"
        quality = " | ".join(_short(figures.ndcg) for figures in by_reader)
        yield f"| `{plan.strategy}`{told and f' ({told})'} | {cost} | {quality} |"


def _first_stage(seed: int) -> float | None:
    return MadeUpList(seed, SHOWN[0]).ndcg(tuple(range(SHOWN[0])))


def _short(value: float) -> str:
    return f"{value:.3f}".lstrip("0")


if __name__ == "__main__":
    main()
