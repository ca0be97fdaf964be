"""``onepass profiles list``, ``show``, ``check``, ``vllm-args`` and ``export-head``."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from service.cli.console import OUT
from service.cli.options import settings_with
from service.deadline import Deadline
from service.engine.vllm.reading import Mode
from service.engines import build_ranker, find_profile, vllm_arguments, write_head
from service.ranking import profile as profiles
from service.ranking.check import Finding, examine
from service.settings import EngineKind, Settings

WRONG = 1

Name = Annotated[str, typer.Argument(help="Name of a profile.")]

app = typer.Typer(help="List, show and check the reranker profiles.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List the profiles: those that come with the service and those of your own directory."""
    settings = settings_with()
    directory = settings.ranking.profiles_directory
    table = Table("name", "model", "reading", "window", "strategy", "description")
    for name in profiles.available(directory):
        profile = find_profile(settings, name)
        mark = " (default)" if name == settings.ranking.profile else ""
        row = (name + mark, profile.model, profile.reading, str(profile.window), profile.strategy, profile.description)
        table.add_row(*map(Text, row))
    OUT.print(table)


@app.command()
def show(name: Name) -> None:
    """Show a profile's file."""
    settings = settings_with()
    find_profile(settings, name)
    text = profiles.available(settings.ranking.profiles_directory)[name].read_text(encoding="utf-8")
    OUT.print(Syntax(text, "yaml").highlight(text), soft_wrap=True)


@app.command()
def check(
    name: Name,
    url: Annotated[
        list[str] | None, typer.Option(help="A vLLM server to check it against.", show_default="the settings' engine")
    ] = None,
) -> None:
    """See that a profile works with its engine: labels, length of prompts, and an answer found wherever it stands.

    Ends with status 1 if something is wrong, and says what.
    """
    settings = settings_with(profile=name)
    if url:
        engine = settings.engine.model_copy(update={"kind": EngineKind.VLLM, "urls": tuple(url)})
        settings = settings.model_copy(update={"engine": engine})
    findings = asyncio.run(_findings(settings))
    for finding in findings:
        mark = ("ok     ", "green") if finding.good else ("wrong  ", "bold red")
        OUT.print(Text.assemble(mark, finding.text), soft_wrap=True)
    if not all(finding.good for finding in findings):
        raise typer.Exit(WRONG)


async def _findings(settings: Settings) -> list[Finding]:
    ranker = build_ranker(settings)
    try:
        await ranker.scorer.open()
        return await examine(ranker.builder, ranker.scorer, Deadline.never())
    finally:
        await ranker.scorer.close()


@app.command("vllm-args")
def vllm_args(
    name: Name,
    mode: Annotated[
        Mode | None,
        typer.Option(help="How the server is to be asked for label logits.", show_default="as the profile"),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of the model.", show_default="the profile's own")] = None,
) -> None:
    """Print the arguments that make a vLLM server serve a profile's model, quoted for a shell."""
    OUT.print(Text(shlex.join(vllm_arguments(find_profile(settings_with(), name), mode, model))), soft_wrap=True)


@app.command("export-head")
def export_head(name: Name, target: Annotated[Path, typer.Argument(help="Folder to write.")]) -> None:
    """Write a profile's model with its labels' output rows as a head, where vLLM cannot cut them out by itself."""
    write_head(find_profile(settings_with(), name), target)
    OUT.print(Text(f"written to {target}; serve it with --runner pooling --convert classify"), soft_wrap=True)
