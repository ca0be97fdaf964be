"""Services that the tests of the dialects ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.settings import Settings
from tests.serving import serving


def settings(indexes: Path, **ranking: Any) -> Settings:
    """No indexes, small limits, time enough for a busy machine."""
    limits = {"timeout_ms": 60_000, "documents": 50, "document_chars": 5000}
    return Settings.model_validate({"indexes": {"directory": indexes}, "limits": limits, "ranking": ranking})


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that takes any model's name."""
    with serving(settings(tmp_path_factory.mktemp("none"))) as client:
        yield client


@pytest.fixture(scope="package")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that knows its profiles and one alias, and no other name."""
    ranking = {"any_model": False, "aliases": {"rerank-v3.5": "onepass-embedded"}}
    with serving(settings(tmp_path_factory.mktemp("none"), **ranking)) as client:
        yield client
