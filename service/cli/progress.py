"""Progress of long work: a bar with rate and time left, or a moving one where the end is unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from service.cli.console import ERR

FEW = 10
"""Rates below are shown with a decimal."""

Report = Callable[[int, int | None], None]
"""Called with how much is done and, where it is known, how much there is."""


@contextmanager
def progress(doing: str, unit: str, total: int | None = None) -> Iterator[Report]:
    """Show a bar while the block runs; call what it gives as work is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERR) as bars:
        task = bars.add_task(doing, total=total)
        yield lambda done, known: bars.update(task, completed=done, total=known)
        bars.update(task, total=bars.tasks[task].completed)


class _Rate(ProgressColumn):
    """Work done in a second, since the start."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Such as ``2,200 passages/s``; nothing before there is work done."""
        if not task.completed or not task.elapsed:
            return Text("")
        rate = task.completed / task.elapsed
        return Text(f"{rate:,.{1 if rate < FEW else 0}f} {self._unit}/s")
