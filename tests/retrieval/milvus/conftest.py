from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.retrieval.milvus.lite import Lite, lite


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lite]:
    """A server that no test stops."""
    with lite(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Lite]:
    """A server that a test may stop."""
    with lite(tmp_path / "milvus") as server:
        yield server
