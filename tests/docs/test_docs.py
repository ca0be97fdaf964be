"""The documentation says what the code does."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from loadtest.attacks import attacks
from service import api_reference
from service.app import openapi_document
from service.observability.prometheus import PrometheusObserver
from service.settings_reference import markdown

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_every_setting_is_documented() -> None:
    assert (ROOT / "docs/settings.md").read_text() == markdown(), "run: onepass settings --markdown > docs/settings.md"


def test_every_metric_is_documented_and_no_other() -> None:
    documented = set(re.findall(r"^\| `(onepass_\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    families = PrometheusObserver().registry.collect()
    exposed = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert documented == exposed


def test_the_page_about_the_api_is_what_the_openapi_document_says() -> None:
    written = api_reference.markdown(openapi_document())
    assert (ROOT / "docs/api.md").read_text() == written, "run: onepass openapi --markdown > docs/api.md"


def test_the_openapi_document_tells_of_every_endpoint_that_is_served(service: httpx.Client) -> None:
    assert set(service.get("/openapi.json").json()["paths"]) < set(openapi_document()["paths"])


def shapes(value: Any) -> Any:
    """The structure of a JSON value: keys and kinds, not the values themselves."""
    match value:
        case dict():
            return {key: shapes(inner) for key, inner in value.items()}
        case list():
            return [shapes(inner) for inner in value[:1]]
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case _:
            return type(value).__name__


def test_the_readmes_example_is_what_the_service_answers(service: httpx.Client) -> None:
    (request,) = re.findall(r"/v1/search .*?-d '(.*?)'", README, re.DOTALL)
    (answer,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)

    given = service.post("/v1/search", json=json.loads(request)).json()

    assert shapes(given) == shapes(json.loads(answer))


def test_the_table_of_injections_is_about_the_attacks_that_there_are() -> None:
    rows = re.findall(r"^\| ([\w ]+) \((\d+)\) \|", (ROOT / "docs/security.md").read_text(), re.MULTILINE)
    counted = Counter(attack.family for attack in attacks())
    assert rows
    assert {(family, int(count)) for family, count in rows} == set(counted.items())


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_promise_names_a_test_that_there_is() -> None:
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "docs/guarantees.md").read_text())
    assert len(named) > 30
    for path, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"
