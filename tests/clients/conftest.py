"""A real service that asks for keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.api.keys import digest
from service.settings import Settings
from tests.clients.scripts import SCRIPTS
from tests.serving import serving

PER_MINUTE = 12
MOST_DOCUMENTS = 50


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """It knows the key ``known``, and two for each script that allow few requests a minute."""
    folder = tmp_path_factory.mktemp("clients")
    few = [key for script in SCRIPTS for key in (str(script), f"{script}-asked")]
    keys: dict[str, dict[str, Any]] = {"known": {}} | {key: {"per_minute": PER_MINUTE} for key in few}
    lines = [{"sha256": digest(key), "name": key, "tenant": "clients", **grant} for key, grant in keys.items()]
    (folder / "keys.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    names = ["rerank-v3.5", "rerank-english-v3.0", "jina-reranker-v1-base-en", "rerank-2.5"]
    settings = Settings.model_validate(
        {
            "server": {"api_keys_file": folder / "keys.jsonl"},
            "indexes": {"directory": folder},
            "limits": {"timeout_ms": 60_000, "documents": MOST_DOCUMENTS},
            "ranking": {"any_model": False, "aliases": dict.fromkeys(names, "onepass-embedded")},
        }
    )
    with serving(settings) as client:
        yield client
