"""The service's own first stage over a corpus, for as long as it is needed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from service.corpus.source import Source
from service.retrieval.builder import build_index
from service.retrieval.embedding.embedder import Embedder
from service.retrieval.local_first_stage import LocalFirstStage, Options


@asynccontextmanager
async def indexed(corpus: Source, embedder: Embedder) -> AsyncIterator[LocalFirstStage]:
    """A first stage over a new index, which is removed in the end. Raises as ``build_index`` does."""
    with TemporaryDirectory(prefix="onepass-") as directory:
        folder = Path(directory) / corpus.name
        await build_index(folder, corpus.documents(), embedder)
        first_stage = LocalFirstStage.open(folder, embedder, options=Options(threads=1, checksums=False))
        try:
            yield first_stage
        finally:
            await first_stage.close()
