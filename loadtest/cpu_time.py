"""What a server costs in CPU time, which other work on the same machine changes much less than its rate."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU time so far of a process, of those it started, and of those that have ended."""
    spent: dict[int, int] = {}
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            number = int(stat.parent.name)
            parents[number], spent[number] = int(fields[1]), sum(map(int, fields[11:15]))
    return sum(ticks for number, ticks in spent.items() if _descends(number, pid, parents)) / _TICKS_PER_S


def _descends(number: int, ancestor: int, parents: dict[int, int]) -> bool:
    while number not in {0, ancestor}:
        number = parents.get(number, 0)
    return number == ancestor
