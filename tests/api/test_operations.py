from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.described import Described
from tests.api.overload import too_much


def test_indexes_and_profiles_are_listed(service: httpx.Client) -> None:
    (index,) = service.get("/v1/indexes").json()
    assert index["name"] == "python-docs"
    assert index["default"] is True
    assert index["documents"] > 3000

    profiles = {profile["name"]: profile for profile in service.get("/v1/profiles").json()}
    assert profiles["onepass-embedded"]["default"] is True
    assert "pointwise" in profiles["onepass-embedded"]["strategies"]


def test_a_profile_is_listed_with_the_strategies_that_suit_it(listwise: httpx.Client) -> None:
    (profile,) = listwise.get("/v1/profiles").json()
    assert {"single", "sliding", "top_down"} <= set(profile["strategies"])


def test_it_lives_and_is_ready(service: httpx.Client) -> None:
    assert service.get("/livez").json() == {"live": True}

    ready = service.get("/readyz").json()
    assert ready["ready"] is True
    assert ready["engines"] == {"onepass-embedded": True}


def test_what_operators_ask_changes_nothing(service: httpx.Client) -> None:
    paths = service.get("/openapi.json").json()["paths"]
    methods = {m for operations in paths.values() for m, op in operations.items() if "operations" in op["tags"]}
    assert methods == {"get"}


def samples(service: httpx.Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(service.get("/metrics").text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def test_metrics_count_what_happened(service: httpx.Client) -> None:
    before = samples(service)
    answer = service.post("/v1/search", json={"query": "join two paths", "candidates": 40}).json()
    late = service.post("/v1/rerank", json=too_much("join two paths")).json()
    after = samples(service)

    def gained(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after.get(key, 0) - before.get(key, 0)

    for route in ("/v1/search", "/v1/rerank"):
        assert gained("onepass_requests_total", route=route, method="POST", status="200") == 1
    assert gained("onepass_degraded_total", reason="deadline") == 1
    assert answer["rerank"]["prompts"] > 0
    assert late["rerank"]["degraded"]
    prompts: Counter[str] = Counter()  # the late one may have had the time for a part alone, or for none
    for ranking in (answer["rerank"], late["rerank"]):
        prompts[ranking["strategy"]] += ranking["prompts"]
    for strategy, read in prompts.items():
        assert gained("onepass_ranking_prompts_sum", profile="onepass-embedded", strategy=strategy) == read
    assert after["onepass_index_documents", (("index", "python-docs"),)] > 3000


@pytest.mark.parametrize(
    ("path", "body", "dialect", "reason"),
    [
        ("/v1/search", {"query": ""}, "native", "invalid_input"),
        ("/v1/search", {"query": "q", "index": "none"}, "native", "not_found"),
        ("/rerank", {"query": "q", "texts": 7}, "tei", "invalid_input"),
        ("/v2/rerank", {"query": "", "documents": ["a"]}, "cohere", "invalid_input"),
        ("/score", {"queries": 7, "documents": 7}, "vllm", "invalid_input"),
        ("/nowhere", {}, "native", "not_found"),
    ],
)
def test_errors_are_counted_by_dialect_and_reason(
    service: httpx.Client, path: str, body: dict[str, Any], dialect: str, reason: str
) -> None:
    key = ("onepass_errors_total", (("dialect", dialect), ("reason", reason)))
    before = samples(service).get(key, 0)

    assert service.post(path, json=body).is_client_error

    assert samples(service)[key] == before + 1


def test_paths_that_do_not_exist_make_no_time_series(service: httpx.Client) -> None:
    service.get("/nowhere/123")

    assert "nowhere" not in service.get("/metrics").text


def test_every_example_of_the_openapi_document_is_answered_as_it_declares(service: httpx.Client) -> None:
    described = Described(service)
    executed = 0
    for path, operations in described.document["paths"].items():
        for method, operation in operations.items():
            for body in examples(operation):
                response = service.request(method, path, json=body)
                assert response.status_code == 200, (path, body, response.text)
                assert described.tells_of(response), (path, body, response.text)
                executed += 1
    assert executed > 20


def examples(operation: dict[str, Any]) -> list[Any]:
    """Every body that the document shows for an operation; none where it takes none."""
    if "requestBody" not in operation:
        return [None]
    shown = [
        example["value"] for example in operation["requestBody"]["content"]["application/json"]["examples"].values()
    ]
    assert shown, operation["summary"]
    return shown
