"""``onepass settings``."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from service import settings_reference
from service.cli.console import OUT


def settings(
    *, markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/settings.md.")] = False
) -> None:
    """Show every setting: its environment variable, its default and what it is for; those that are set are marked."""
    if markdown:
        OUT.print(settings_reference.markdown(), end="", markup=False, highlight=False, soft_wrap=True)
        return
    table = Table("variable", "default", "meaning")
    for row in settings_reference.rows():
        style = "bold" if row.variable in os.environ else ""
        table.add_row(Text(row.variable, style), Text(row.default), Text(row.description))
    OUT.print(table)
