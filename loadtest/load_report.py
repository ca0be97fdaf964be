"""What came of offered load, as a table in Markdown and as a page that loads nothing."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape

from loadtest.open_loop import Answered, Phase, quantile
from loadtest.targets import CACHED, FULL
from service.evaluation import plots
from service.evaluation.html import document

_BINS = 24
_NOTE = "Latency counts from the time at which a request was to be sent, and is that of whole answers."
_WHOLE = (FULL, CACHED)
OUTSIDE = "outside"
"""What the server's own stages leave of the latency: the network, parsing, waiting to be read, and the generator."""

_COLUMNS = ("scenario", "server", "load", "offered/s", "full/s", "cached/s", "others", "p50", "p90", "p99", "max ms")


@dataclass(frozen=True, slots=True)
class Run:
    """One scenario against one server."""

    scenario: str
    target: str
    phases: Sequence[Phase]
    answers: Sequence[Answered]

    def by_phase(self) -> list[tuple[Phase, list[Answered]]]:
        """The answers to requests that were due in each phase."""
        found, begin = [], 0.0
        for phase in self.phases:
            end = begin + phase.seconds
            found.append((phase, [answer for answer in self.answers if begin <= answer.due < end]))
            begin = end
        return found


def markdown(runs: Sequence[Run]) -> str:
    """A row for each phase of each run. Latencies are those of whole answers, in milliseconds."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    lines += [f"| {' | '.join(row)} |" for run in runs for row in _rows(run)]
    return "\n".join(lines)


def page(title: str, facts: Mapping[str, str], runs: Sequence[Run]) -> str:
    """The report as HTML: conditions, the table, and plots for each scenario."""
    by_scenario: dict[str, list[Run]] = {}
    for run in runs:
        by_scenario.setdefault(run.scenario, []).append(run)
    drawn = "".join(f"<h2>{escape(name)}</h2>{_plots(some)}" for name, some in by_scenario.items())
    return document(title, facts, _NOTE, _COLUMNS, [row for run in runs for row in _rows(run)], drawn)


def stage_medians(answers: Sequence[Answered]) -> dict[str, float]:
    """Median milliseconds of each stage of the answers that tell, and of what lies outside of them."""
    telling = [answer for answer in answers if "total" in answer.reply.stages]
    if not telling:
        return {}
    names = [name for name in telling[0].reply.stages if name != "total"]
    found = {name: statistics.median(answer.reply.stages.get(name, 0.0) for answer in telling) for name in names}
    outside = (answer.seconds * 1000 - answer.reply.stages["total"] for answer in telling)
    return {**found, OUTSIDE: statistics.median(outside)}


def _rows(run: Run) -> list[list[str]]:
    rows = []
    for phase, answers in run.by_phase():
        kinds = Counter(answer.reply.kind for answer in answers)
        others = ", ".join(f"{kind} {count / phase.seconds:.2f}" for kind, count in kinds.items() if kind not in _WHOLE)
        whole = [answer.seconds for answer in answers if answer.reply.kind in _WHOLE]
        rates = (len(answers), kinds[FULL], kinds[CACHED])
        rows.append(
            [run.scenario, run.target, phase.name]
            + [f"{count / phase.seconds:.2f}" for count in rates]
            + [others or "none"]
            + [_milliseconds(quantile(whole, share)) for share in (0.5, 0.9, 0.99, 1.0)]
        )
    return rows


def _milliseconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0f}"


def _plots(runs: Sequence[Run]) -> str:
    seconds = sum(phase.seconds for phase in runs[0].phases)
    width = seconds / _BINS
    offered = [(at, float(phase.rate)) for phase, at in _edges(runs[0].phases)]
    done = {run.target: _over_time(run, width, lambda some: len(some) / width) for run in runs}
    slow = {
        f"{run.target} {name}": _over_time(run, width, partial(quantile, share=share))
        for run in runs
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    stages = {f"{run.target} {phase.name}": stage_medians(some) for run in runs for phase, some in run.by_phase()}
    drawn = [
        plots.lines(plots.Axes("Whole answers a second", "due at, s", "a second"), {"offered": offered, **done}),
        plots.lines(plots.Axes("Latency", "due at, s", "ms", log=True), slow),
    ]
    if any(stages.values()):
        drawn.append(plots.stacked_bars(plots.Axes("Where the time goes (medians)", "", "ms"), stages))
    drawn += [
        plots.stacked_bars(plots.Axes(f"Latency of {run.target}", "up to ms", "answers"), _histogram(run))
        for run in runs
    ]
    return "".join(drawn)


def _edges(phases: Sequence[Phase]) -> list[tuple[Phase, float]]:
    """Each phase with its beginning and with its end, so that a line through them is made of steps."""
    edges, begin = [], 0.0
    for phase in phases:
        edges += [(phase, begin), (phase, begin + phase.seconds)]
        begin += phase.seconds
    return edges


def _over_time(run: Run, width: float, value: Callable[[list[float]], float]) -> plots.Points:
    """``value`` of the seconds of whole answers, for each bin of so many seconds in which they were due."""
    bins: list[list[float]] = [[] for _ in range(_BINS)]
    for answer in run.answers:
        if answer.reply.kind in _WHOLE:
            bins[min(_BINS - 1, int(answer.due / width))].append(answer.seconds)
    return [((place + 0.5) * width, value(some)) for place, some in enumerate(bins)]


def _histogram(run: Run) -> dict[str, Counter[str]]:
    """Answers of each kind by latency, in bins each of which ends at twice the one before."""
    powers = [max(0, math.ceil(math.log2(max(1e-3, answer.seconds * 1000)))) for answer in run.answers]
    bins: dict[str, Counter[str]] = (
        {f"{2**power}": Counter() for power in range(min(powers), max(powers) + 1)} if powers else {}
    )
    for power, answer in zip(powers, run.answers, strict=True):
        bins[f"{2**power}"][answer.reply.kind] += 1
    return bins
