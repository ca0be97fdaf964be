"""Options that several commands share, and the settings they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.domain import RetrievalMode
from service.errors import InvalidInput
from service.settings import Settings, load

IndexesDir = Annotated[
    Path | None, typer.Option("--indexes-dir", help="Folder that holds the indexes.", show_default="the settings'")
]
Index = Annotated[str | None, typer.Option("--index", help="Name of the index to use.", show_default="the only one")]
Profile = Annotated[
    str | None,
    typer.Option("--profile", help="Reranker profile, see `profiles list`.", show_default="the settings'"),
]
Strategy = Annotated[str | None, typer.Option("--strategy", help="Ranking strategy.", show_default="the profile's own")]
Mode = Annotated[
    RetrievalMode | None, typer.Option("--mode", help="How the first stage searches.", show_default="the settings'")
]
Candidates = Annotated[int, typer.Option("--candidates", min=1, help="Passages the first stage hands to the reranker.")]
TopK = Annotated[int, typer.Option("--top-k", min=1, help="Passages the reranker puts in order.")]
Timeout = Annotated[float, typer.Option("--timeout-ms", min=1, help="Milliseconds given to a query.")]


def folder_name(name: str) -> str:
    """``name``, which can be that of an index's folder. Raises ``InvalidInput`` if it cannot."""
    if name in {"", ".", ".."} or Path(name).name != name:
        raise InvalidInput(f"{name!r} cannot be the name of an index's folder; give another with --name", field="name")
    return name


def settings_with(*, indexes_dir: Path | None = None, index: str | None = None, profile: str | None = None) -> Settings:
    """The settings of the environment, changed by what was given on the command line.

    Raises:
        ConfigurationError: a setting that does not fit.
    """
    settings = load()
    indexes = {"directory": indexes_dir, "default": index}
    changed = {key: value for key, value in indexes.items() if value is not None}
    update: dict[str, object] = {"indexes": settings.indexes.model_copy(update=changed)}
    if profile is not None:
        update["ranking"] = settings.ranking.model_copy(update={"profile": profile})
    return settings.model_copy(update=update)
