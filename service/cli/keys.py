"""``onepass keys new``."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError

from service.api.keys import Grant, digest, new_key
from service.cli.console import OUT, note
from service.errors import ConfigurationError

app = typer.Typer(help="Make API keys.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    # A group of one command would otherwise be that command.
    pass


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Tells people which key this is.")],
    tenant: Annotated[str | None, typer.Option(help="On whose behalf it asks.", show_default="the name")] = None,
    index: Annotated[
        list[str] | None, typer.Option(help="An index that it may search; may be repeated.", show_default="all")
    ] = None,
    per_minute: Annotated[int | None, typer.Option(min=1, help="Requests a minute.", show_default="any number")] = None,
    concurrent: Annotated[int | None, typer.Option(min=1, help="Requests at once.", show_default="any number")] = None,
) -> None:
    """Make an API key: the key itself, shown this once, then its line for the file of `server.api_keys_file`."""
    key = new_key()
    try:
        grant = Grant(
            sha256=digest(key),
            name=name,
            tenant=tenant or name,
            indexes=tuple(index) if index else None,
            per_minute=per_minute,
            concurrent=concurrent,
        )
    except ValidationError as error:
        raise ConfigurationError("; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())) from error
    note("The key, which is not kept anywhere:")
    OUT.print(key, markup=False, highlight=False, soft_wrap=True)
    note("Its line for the file of keys:")
    OUT.print(grant.model_dump_json(exclude_none=True), markup=False, highlight=False, soft_wrap=True)
