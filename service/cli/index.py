"""``onepass index build``, ``inspect``, ``add``, ``delete`` and ``publish``."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from service.cli.building import build as build_at
from service.cli.building import chunking
from service.cli.console import OUT, note
from service.cli.index_changes import add, delete, publish
from service.cli.options import IndexesDir, Profile, folder_name, settings_with
from service.cli.snippets import snippet
from service.corpus.detect import STDLIB, source_at
from service.errors import InvalidInput
from service.retrieval import change_log, index_store
from service.retrieval.document_store import DocumentReader
from service.retrieval.manifest import Manifest

MEGABYTE = 1_000_000
SHOWN_PASSAGES = 3

app = typer.Typer(help="Build, inspect and change indexes.", no_args_is_help=True)
app.command()(add)
app.command()(delete)
app.command()(publish)


@app.command()
def build(
    source: Annotated[
        str,
        typer.Argument(
            help="What to index: a BEIR-layout folder, a .jsonl or .csv file (also .gz), a folder of .txt and .md "
            f"files, or `{STDLIB}` for the documentation of the Python standard library."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the index.", show_default="the source's own name")] = None,
    indexes_dir: IndexesDir = None,
    profile: Profile = None,
    factory: Annotated[
        str | None,
        typer.Option(help="FAISS factory string, such as Flat or HNSW32.", show_default="by the number of passages"),
    ] = None,
    milvus: Annotated[
        bool, typer.Option("--milvus", help="Keep the passages in the Milvus server of ONEPASS_INDEXES__MILVUS_URL.")
    ] = False,
    chunk_tokens: Annotated[
        int | None,
        typer.Option(min=8, help="Tokens of a passage cut from a long text.", show_default="what the profile reads"),
    ] = None,
    chunk_overlap: Annotated[
        int | None, typer.Option(min=0, help="Tokens that neighbouring passages share.", show_default="a fifth")
    ] = None,
) -> None:
    """Index a corpus. An index of the same name is replaced once the new one is complete."""
    settings = settings_with(indexes_dir=indexes_dir, profile=profile)
    try:
        corpus = source_at(source, lambda: chunking(settings, chunk_tokens, chunk_overlap))
    except ValueError as error:
        raise InvalidInput(str(error), field="chunk_overlap") from error
    folder = settings.indexes.directory / folder_name(name or corpus.name)

    started = time.monotonic()
    manifest = asyncio.run(build_at(folder, corpus, settings, factory=factory, milvus=milvus))
    seconds = time.monotonic() - started
    passages = "passage" if manifest.documents == 1 else "passages"
    OUT.print(f"{manifest.documents:,} {passages} in {seconds:.1f} s", highlight=False)
    OUT.print(_described(folder, manifest))


@app.command()
def inspect(
    index: Annotated[str, typer.Argument(help="Name of an index, or path of its folder.")],
    indexes_dir: IndexesDir = None,
) -> None:
    """Show what an index holds, after comparing its files with their checksums."""
    directory = settings_with(indexes_dir=indexes_dir).indexes.directory
    folder = Path(index) if Path(index).is_dir() else directory / index
    version = index_store.current_version(folder)
    manifest = index_store.read_manifest(version)
    index_store.verify(version, manifest)
    OUT.print(_described(folder, manifest))
    if manifest.collection:
        return
    OUT.print(_first_passages(version))
    note("Every file has the checksum that the manifest promises.")


def _described(folder: Path, manifest: Manifest) -> Table:
    size = sum(file.bytes for file in manifest.files.values())
    facts = {
        "index": folder,
        "version": manifest.version,
        "created": manifest.created,
        "passages": f"{manifest.documents:,}",
        "size": f"{size / MEGABYTE:,.1f} MB",
        "embedder": f"{manifest.embedder}, {manifest.dimension} dimensions",
        **({"Milvus": manifest.collection} if manifest.collection else {"FAISS": manifest.factory}),
        "reranker tokens": manifest.encoding or "none stored",
        "changes to publish": len(change_log.read(index_store.current_version(folder) / index_store.CHANGES)),
    }
    table = Table(show_header=False, box=None)
    for fact, value in facts.items():
        table.add_row(Text(fact, "bold"), Text(str(value)))
    return table


def _first_passages(version: Path) -> Table:
    table = Table("id", "title", "text", title="First passages", title_justify="left")
    reader = DocumentReader(version / index_store.DOCUMENTS)
    try:
        rows = reader.fetch(range(min(SHOWN_PASSAGES, reader.count)))
    finally:
        reader.close()
    for _, (document, _tokens) in sorted(rows.items()):
        table.add_row(Text(document.id), Text(document.title), Text(snippet(document.text)))
    return table
