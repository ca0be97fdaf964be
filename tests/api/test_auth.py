"""Keys, over real HTTP: who gets in, how far, and what everybody else is told in which dialect."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.auth import presented
from service.api.keys import digest
from service.settings import Settings
from tests.conftest import DEMO
from tests.serving import serving

BODY: dict[str, Any] = {"query": "bees", "documents": ["honey", "wax"]}
PATHS = {
    "/v1/rerank": BODY,
    "/v2/rerank": BODY | {"model": "m"},
    "/rerank": {"query": "bees", "texts": ["honey", "wax"]},
    "/voyage/v1/rerank": BODY | {"model": "m"},
    "/score": {"text_1": "bees", "text_2": ["honey"]},
    "/v1/search": {"query": "bees"},
}
GRANTS: dict[str, dict[str, Any]] = {
    "free": {},
    "rarely": {"per_minute": 1},
    "elsewhere": {"indexes": ["another"]},
    "one-at-once": {"concurrent": 1},
}
CORS = {"Origin": "https://page.example"}


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "keys.jsonl"
    lines = [{"sha256": digest(key), "name": key, "tenant": key, **grant} for key, grant in GRANTS.items()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture(scope="module")
def service(demo_indexes: Path, keys_file: Path) -> Iterator[httpx.Client]:
    settings = Settings.model_validate(
        {
            "server": {
                "api_keys_file": keys_file,
                "cors_origins": ["https://page.example"],
                "tenant_header": "X-Tenant",
                "admin_key": "the-admin-key",
            },
            "engine": {"kind": "fake"},
            "indexes": {"directory": demo_indexes},
        }
    )
    with serving(settings) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "headers", [bearer("free"), {"Authorization": "free"}, {"Authorization": "bearer  free"}, {"X-API-Key": "free"}]
)
def test_a_key_opens(service: httpx.Client, headers: dict[str, str]) -> None:
    assert service.post("/v1/rerank", json=BODY, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, bearer("wrong"), {"Authorization": "Basic free"}, {"Authorization": "Bearer"}, bearer("free x")]
)
@pytest.mark.parametrize("path", PATHS)
def test_without_a_known_key_it_is_401(service: httpx.Client, path: str, headers: dict[str, str]) -> None:
    refused = service.post(path, json=PATHS[path], headers=headers)

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.headers["x-request-id"]
    told = refused.json()
    assert "API key" in (told["detail"] if isinstance(told.get("detail"), str) else told["error"]["message"])


def test_a_key_is_written_nowhere(service: httpx.Client, capfd: pytest.CaptureFixture[str]) -> None:
    told = [service.post(path, json=body, headers=bearer("sesame-open")).text for path, body in PATHS.items()]
    told += [service.get("/metrics").text, *capfd.readouterr()]

    assert not any("sesame" in text for text in told)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/metrics", "/openapi.json", "/"])
def test_probes_and_the_page_need_no_key(service: httpx.Client, path: str) -> None:
    assert service.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/v1/indexes", "/v1/profiles", "/v1/models", "/info", "/nowhere"])
def test_all_else_needs_one(service: httpx.Client, path: str) -> None:
    assert service.get(path).status_code == 401


def test_more_than_a_key_allows_is_429_with_the_time_to_wait(service: httpx.Client) -> None:
    first, *others = [
        service.post(path, json=body, headers=bearer("rarely")) for path, body in PATHS.items() if path != "/v1/search"
    ]

    assert first.status_code == 200
    for refused in others:
        assert refused.status_code == 429
        assert 50 < int(refused.headers["retry-after"]) <= 60
        assert 50_000 < int(refused.headers["retry-after-ms"]) <= 60_000
    assert others[1].json()["error_type"] == "Overloaded"


def test_an_index_that_a_key_does_not_allow_is_403_and_not_listed(service: httpx.Client) -> None:
    refused = service.post("/v1/search", json=PATHS["/v1/search"], headers=bearer("elsewhere"))
    assert refused.status_code == 403
    assert refused.json()["error"]["field"] == "index"

    assert service.get("/v1/indexes", headers=bearer("elsewhere")).json() == []
    assert len(service.get("/v1/indexes", headers=bearer("free")).json()) == 1
    assert service.post("/v1/search", json=PATHS["/v1/search"], headers=bearer("free")).status_code == 200


def test_a_request_under_way_counts_until_it_is_answered(service: httpx.Client) -> None:
    """The first one's body comes only once the second one has been refused."""
    begun, go_on = threading.Event(), threading.Event()

    def body() -> Iterator[bytes]:
        text = json.dumps(BODY).encode()
        yield text[:5]
        begun.set()
        go_on.wait(30)
        yield text[5:]

    statuses = []

    def first() -> None:
        with httpx.Client(base_url=service.base_url, timeout=60) as other:
            headers = bearer("one-at-once") | {"Content-Type": "application/json"}
            statuses.append(other.post("/v1/rerank", content=body(), headers=headers).status_code)

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait(30)
    try:
        answers: list[int] = []
        while 429 not in answers and len(answers) < 100:  # until the server has seen the head of the first one
            answers.append(service.get("/v1/profiles", headers=bearer("one-at-once")).status_code)
    finally:
        go_on.set()
        thread.join()
    assert answers[-1] == 429
    assert statuses == [200]
    assert service.get("/v1/profiles", headers=bearer("one-at-once")).status_code == 200


def test_the_header_that_names_a_tenant_is_not_believed_beside_keys(service: httpx.Client) -> None:
    headers = bearer("free") | {"X-Tenant": "no name at all"}
    assert service.post("/v1/rerank", json=BODY, headers=headers).status_code == 200


def test_a_page_of_an_allowed_origin_may_call_and_read_why_it_was_refused(service: httpx.Client) -> None:
    asked = CORS | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = service.options("/v1/rerank", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://page.example"

    refused = service.post("/v1/rerank", json=BODY, headers=CORS)
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://page.example"
    assert "server-timing" in refused.headers["access-control-expose-headers"]

    other = service.post("/v1/rerank", json=BODY, headers=bearer("free") | {"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer a", "x-api-key": "b"}, "a"),
        ({"authorization": "a"}, "a"),
        ({"authorization": "Basic a", "x-api-key": "b"}, "b"),
        ({"authorization": "Basic a"}, None),
        ({}, None),
    ],
)
def test_where_a_key_is_looked_for(headers: dict[str, str], key: str | None) -> None:
    assert presented(headers) == key


@pytest.mark.parametrize(("key", "status"), [("the-admin-key", 200), ("free", 401), (None, 401)])
def test_administrators_have_a_key_of_their_own(service: httpx.Client, key: str | None, status: int) -> None:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    assert service.post(f"/v1/indexes/{DEMO}:reload", headers=headers).status_code == status
