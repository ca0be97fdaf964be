"""``onepass index add``, ``delete`` and ``publish``: changes of an index that may be served meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from service.cli.building import chunking, writing
from service.cli.console import OUT, note
from service.cli.options import IndexesDir, Profile, folder_name, settings_with
from service.cli.progress import progress
from service.corpus.detect import source_at
from service.retrieval.index_writer import Effect, IndexWriter
from service.settings import Settings

Change = Callable[[IndexWriter], Effect]

Name = Annotated[str, typer.Argument(help="Name of the index.")]
Defer = Annotated[
    bool, typer.Option("--defer", help="Acknowledge the change and leave the next version to a later command.")
]


def add(
    name: Name,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="What to add: whatever `build` reads, all of it or nothing.")
    ],
    *,
    defer: Defer = False,
    indexes_dir: IndexesDir = None,
    profile: Profile = None,
) -> None:
    """Add documents to an index; one whose id is there replaces that document."""
    settings = settings_with(indexes_dir=indexes_dir, profile=profile)
    sources = [source_at(place, lambda: chunking(settings)) for place in files]
    documents = chain.from_iterable(source.documents() for source in sources)
    asyncio.run(_change(name, settings, lambda writer: writer.add(documents), defer=defer))


def delete(
    name: Name,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of the documents to delete.")],
    *,
    defer: Defer = False,
    indexes_dir: IndexesDir = None,
    profile: Profile = None,
) -> None:
    """Delete documents from an index; an id that is not there is told, and is no error."""
    settings = settings_with(indexes_dir=indexes_dir, profile=profile)
    asyncio.run(_change(name, settings, lambda writer: writer.delete(ids), defer=defer))


def publish(name: Name, *, indexes_dir: IndexesDir = None, profile: Profile = None) -> None:
    """Make the next version of an index from the changes that are acknowledged."""
    settings = settings_with(indexes_dir=indexes_dir, profile=profile)
    asyncio.run(_publish(name, settings))


async def _change(name: str, settings: Settings, change: Change, *, defer: bool) -> None:
    async with writing(_folder(name, settings), settings) as writer:
        _acknowledge(change(writer))
        if defer:
            note(f"{writer.pending} changes wait for `onepass index publish {name}`.")
        else:
            await _next_version(name, writer)


async def _publish(name: str, settings: Settings) -> None:
    async with writing(_folder(name, settings), settings) as writer:
        await _next_version(name, writer)


async def _next_version(name: str, writer: IndexWriter) -> None:
    with progress(f"Indexing {name}", "passages") as report:
        manifest = await writer.publish(report)
    OUT.print(f"{name} is at version {manifest.version}, {manifest.documents:,} passages", highlight=False)


def _acknowledge(effect: Effect) -> None:
    """Tell that the change is safe: from here on no crash loses it."""
    OUT.print(
        f"acknowledged: {effect.added} added, {effect.replaced} replaced, {effect.deleted} deleted", highlight=False
    )
    OUT.file.flush()
    for missing in effect.missing:
        note(f"{missing} is not there.")


def _folder(name: str, settings: Settings) -> Path:
    return settings.indexes.directory / folder_name(name)
