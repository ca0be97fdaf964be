"""Where the command line writes: results to standard output; progress, notes and errors to standard error."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from service.errors import OnepassError

OUT = Console()
ERR = Console(stderr=True)

FAILED = 2


class Commands(TyperGroup):
    """A group of commands whose errors, where they are ours, are a message and not a stack trace."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except OnepassError as error:
            ERR.print(Text.assemble(("Error: ", "bold red"), str(error)), soft_wrap=True)
            raise typer.Exit(FAILED) from error


def note(message: str) -> None:
    """Tell something in passing; nothing in ``message`` is markup."""
    ERR.print(Text(message, "dim"), soft_wrap=True)


def warn(message: str) -> None:
    """Tell something that the reader of the result should know."""
    ERR.print(Text(message, "yellow"), soft_wrap=True)
