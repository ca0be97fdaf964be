"""Building an index from a corpus, and changing one, with the parts that the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from service.cli.progress import progress
from service.corpus.chunking import Chunking
from service.corpus.source import Source
from service.domain import Document
from service.engines import find_profile, passage_encoder
from service.errors import ConfigurationError
from service.house import build_embedder, milvus_options
from service.ranking.readings import Reading
from service.retrieval.builder import Progress, Recipe, build_index
from service.retrieval.embedding.embedder import Embedder
from service.retrieval.index_writer import IndexWriter, index_writer
from service.retrieval.manifest import Manifest
from service.retrieval.milvus import require_client
from service.settings import Settings
from service.tokenization.sources import load_tokenizer


async def build(
    folder: Path, source: Source, settings: Settings, *, factory: str | None = None, milvus: bool = False
) -> Manifest:
    """Index ``source`` at ``folder`` for the configured embedder and profile, showing progress.

    With ``milvus``, the passages go to the server that the settings name.

    Raises:
        ConfigurationError: that server is wanted and not named, or its client is missing.
    """
    embedder = build_embedder(settings)
    try:
        recipe = _recipe(settings, embedder)
        total = source.count()
        with progress(f"Indexing {source.name}", "passages", total) as report:
            if milvus:
                return await _build_in_milvus(folder, source.documents(), recipe, settings, total, report)
            return await build_index(
                folder,
                source.documents(),
                embedder,
                encoder=recipe.encoder,
                factory=factory,
                total=total,
                progress=report,
            )
    finally:
        await embedder.close()


def _recipe(settings: Settings, embedder: Embedder) -> Recipe:
    """Tokens are stored for models that read passages anew for each query; encoders have read them."""
    profile = find_profile(settings)
    return Recipe(embedder, None if profile.reading is Reading.ENCODED else passage_encoder(settings))


async def _build_in_milvus(
    folder: Path, documents: Iterable[Document], recipe: Recipe, settings: Settings, total: int | None, report: Progress
) -> Manifest:
    options = milvus_options(settings)
    if options is None:
        raise ConfigurationError("name the Milvus server: set indexes.milvus_url")
    require_client()
    from service.retrieval.milvus.builder import build_in_milvus  # noqa: PLC0415  its client is an extra

    return await build_in_milvus(options, folder, documents, recipe, total=total, progress=report)


@asynccontextmanager
async def writing(folder: Path, settings: Settings) -> AsyncIterator[IndexWriter]:
    """The writer of an index, for the configured embedder and profile. Raises as ``index_writer`` does."""
    embedder = build_embedder(settings)
    try:
        with index_writer(folder, _recipe(settings, embedder)) as writer:
            yield writer
    finally:
        await embedder.close()


def chunking(settings: Settings, tokens: int | None = None, overlap: int | None = None) -> Chunking:
    """How long texts are cut: by default to what the profile shows the model of a passage, a fifth of it overlapping.

    Raises:
        ProfileError: the profile has no tokenizer that can be read.
        ValueError: the overlap is too large.
    """
    profile = find_profile(settings)
    size = tokens or profile.passage_tokens
    return Chunking(load_tokenizer(profile.tokenizer), size, size // 5 if overlap is None else overlap)
