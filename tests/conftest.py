"""What every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest
from hypothesis import settings

from service.corpus.stdlib_docs import StdlibDocs
from service.engines import passage_encoder
from service.house import build_embedder
from service.retrieval.builder import build_index
from service.settings import IndexSettings, LimitSettings, Settings
from tests.serving import serving

DEMO = "python-docs"

settings.register_profile("untimed", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, the loop that serves in production."""
    return "asyncio"


@pytest.fixture(scope="session")
def demo_indexes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one index, the demo corpus, built once for all tests."""
    directory = tmp_path_factory.mktemp("indexes")
    settings = Settings()

    async def build() -> None:
        encoder = passage_encoder(settings)
        await build_index(directory / DEMO, StdlibDocs().documents(), build_embedder(settings), encoder=encoder)

    anyio.run(build)
    return directory


@pytest.fixture(scope="session")
def service(demo_indexes: Path) -> Iterator[httpx.Client]:
    """A client of a service with the demo index; a busy machine may take its time."""
    limits = LimitSettings(timeout_ms=60_000)
    with serving(Settings(indexes=IndexSettings(directory=demo_indexes), limits=limits)) as client:
        yield client
