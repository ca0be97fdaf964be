"""What the tests of the command line share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from typer.testing import Result

Cli = Callable[..., Result]
"""Runs a command; see the fixture ``cli``."""

PASSAGES = {
    "tides": ("Tides", "The moon pulls the sea and makes it rise twice a day."),
    "honey": ("Honey", "Bees make honey from nectar in their hive."),
    "bread": ("Bread", "Yeast makes dough rise before it is baked."),
    "rust": ("Rust", "Iron turns [red] to rust where water meets air."),
}


def write_lines(path: Path, records: Iterable[Mapping[str, object]]) -> Path:
    """Write a JSON-lines file."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path
