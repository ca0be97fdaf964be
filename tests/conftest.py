"""What every test may use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest
from hypothesis import settings

from service.corpus.stdlib_docs import StdlibDocs
from service.house import build_embedder
from service.retrieval.builder import build_index
from service.retrieval.manifest import FORMAT
from service.settings import IndexSettings, LimitSettings, Settings
from tests.reranking import RANKING
from tests.serving import serving

DEMO = "python-docs"

settings.register_profile("untimed", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, the loop that serves in production."""
    return "asyncio"


@pytest.fixture(scope="session")
def demo_indexes(pytestconfig: pytest.Config) -> Path:
    """A directory with one index, the demo corpus, which nobody changes.

    The encoders take minutes to read it on two cores. So it is kept in pytest's cache, and built anew when its
    documents, the encoders' weights or the format of an index change; ``pytest --cache-clear`` drops it.
    """
    documents, embedder = list(StdlibDocs().documents()), build_embedder(Settings())
    digest = hashlib.sha256(repr((FORMAT, embedder.id, documents)).encode()).hexdigest()[:16]
    directory = pytestconfig.cache.mkdir(f"demo-{digest}")
    if not (directory / DEMO / "CURRENT").exists():
        anyio.run(build_index, directory / DEMO, documents, embedder)
    return directory


@pytest.fixture(scope="session")
def service(demo_indexes: Path) -> Iterator[httpx.Client]:
    """A client of a service with the demo index; a busy machine may take its time."""
    limits = LimitSettings(timeout_ms=60_000)
    with serving(Settings(indexes=IndexSettings(directory=demo_indexes), limits=limits)) as client:
        yield client


@pytest.fixture(scope="session")
def listwise(demo_indexes: Path) -> Iterator[httpx.Client]:
    """A client of a service with the demo index that ranks windows of passages, by logits that are made up."""
    settings = {"engine": {"kind": "fake"}, "indexes": {"directory": demo_indexes}, "ranking": RANKING}
    with serving(Settings.model_validate(settings | {"limits": {"timeout_ms": 60_000}})) as client:
        yield client
