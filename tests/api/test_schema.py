"""Requests made up from the OpenAPI document, valid ones and others: no answer but those that it declares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig

from service.app import openapi_document
from service.settings import Settings
from tests.serving import serving

ADMIN_KEY = "the-admin-key"
CONFIG = {
    "seed": 1,
    "generation": {"max-examples": 30, "deterministic": True},
    "checks": {
        # a time too short for anything is as good as any other
        "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "504"]},
        # clients send numbers as text and booleans as words, which is accepted on purpose
        "negative_data_rejection": {"enabled": False},
        # limits, blank queries and unknown names are no matter of the schema
        "positive_data_acceptance": {"enabled": False},
    },
}

document = schemathesis.openapi.from_dict(openapi_document(), config=SchemathesisConfig.from_dict(CONFIG))


@pytest.fixture(scope="module")
def service(demo_indexes: Path) -> Iterator[httpx.Client]:
    """All endpoints over real indexes, and no work for a model."""
    settings = {
        "engine": {"kind": "fake"},
        "indexes": {"directory": demo_indexes},
        "server": {"admin_key": ADMIN_KEY},
    }
    with serving(Settings.model_validate(settings)) as client:
        yield client


@document.parametrize()
def test_every_answer_is_declared(service: httpx.Client, case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(base_url=str(service.base_url), headers={"Authorization": f"Bearer {ADMIN_KEY}"})
