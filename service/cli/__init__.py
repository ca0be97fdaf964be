"""The command line: ``onepass serve | index | search | evaluate | profiles | keys | settings | openapi | capacity``."""

from __future__ import annotations

from typing import Annotated

import typer

from service import __version__
from service.cli import capacity, evaluate, index, keys, openapi, profiles, search, serve, settings
from service.cli.console import OUT, Commands
from service.observability.logs import configure

app = typer.Typer(
    cls=Commands,
    help="Onepass: online listwise reranking. One forward pass, a few logits.",
    epilog="Settings come from the environment, such as ONEPASS_SERVER__PORT; options given here go before them.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command()(serve.serve)
app.add_typer(index.app, name="index")
app.command()(search.search)
app.command()(evaluate.evaluate)
app.add_typer(profiles.app, name="profiles")
app.add_typer(keys.app, name="keys")
app.command()(settings.settings)
app.command()(openapi.openapi)
app.command()(capacity.capacity)


def _show_version(wanted: bool) -> None:
    if wanted:
        OUT.print(f"onepass {__version__}")
        raise typer.Exit


@app.callback()
def _before(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    # Commands tell the result; `serve` turns the log up again to what its settings say.
    configure("error", json_lines=False)


def main() -> None:
    """Run the command line. Our own errors are told in a line and end with status 2."""
    app()
