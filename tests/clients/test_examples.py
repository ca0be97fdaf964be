"""Every script of ``examples/`` against a real service that asks for keys, run by an interpreter that has its client.

``.ci/run`` makes the environments; the variables below name their interpreters.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.keys import digest
from service.settings import Settings
from tests.serving import serving

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIENTS = "TEST_CLIENTS_PYTHON"
COHERE_5_13 = "TEST_CLIENTS_COHERE_5_13_PYTHON"
COHERE_7 = "TEST_CLIENTS_COHERE_7_PYTHON"
KEYS: dict[str, dict[str, Any]] = {"known": {}, "rarely": {"per_minute": 6}}
BEST = "Fleas live on the blood of mammals and birds."
SECONDS = 240
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HAYSTACK_TELEMETRY_ENABLED": "False"}


@dataclass(frozen=True)
class Script:
    """An example, the variable that names its interpreter, and what its client says to a model that is unknown."""

    name: str
    python: str
    unknown_model: str | None = None
    rankings: int = 1

    def __str__(self) -> str:
        return f"{self.name}-{self.python}"


SCRIPTS = [
    *(
        Script(name, python, "NotFoundError", rankings)
        for python in (CLIENTS, COHERE_5_13, COHERE_7)
        for name, rankings in (("cohere_v1.py", 1), ("cohere_v2.py", 1), ("cohere_async.py", 2))
    ),
    Script("langchain_rerank.py", CLIENTS, "NotFoundError"),
    Script("llama_index_cohere.py", CLIENTS, "NotFoundError"),
    Script("llama_index_jina.py", CLIENTS, "RuntimeError: no model of that name"),
    Script("llama_index_tei.py", CLIENTS),
    Script("haystack_cohere.py", CLIENTS, "NotFoundError"),
    Script("haystack_jina.py", CLIENTS, "RuntimeError: no model of that name"),
    Script("haystack_tei.py", CLIENTS),
    Script("voyage_rerank.py", CLIENTS, "InvalidRequestError: no model of that name"),
    Script("litellm_rerank.py", CLIENTS, "no model of that name", rankings=5),
]


def wanted(script: Script) -> Any:
    """A parameter that is skipped where the script's client is missing."""
    missing = pytest.mark.skipif(script.python not in os.environ, reason=f"needs clients: {script.python}")
    return pytest.param(script, marks=[pytest.mark.needs("clients"), missing], id=str(script))


ALL = pytest.mark.parametrize("script", [wanted(script) for script in SCRIPTS])
NAMING_MODELS = pytest.mark.parametrize("script", [wanted(script) for script in SCRIPTS if script.unknown_model])
TRYING_AGAIN = pytest.mark.parametrize(
    "script", [wanted(Script("cohere_v2.py", python)) for python in (CLIENTS, COHERE_7)]
)
"""SDKs that try again by themselves without being asked to, which 5.13 does not."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("clients")
    lines = [{"sha256": digest(key), "name": key, "tenant": key, **grant} for key, grant in KEYS.items()]
    (folder / "keys.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    names = ["rerank-v3.5", "rerank-english-v3.0", "jina-reranker-v1-base-en", "rerank-2.5"]
    settings = Settings.model_validate(
        {
            "server": {"api_keys_file": folder / "keys.jsonl"},
            "indexes": {"directory": folder},
            "limits": {"timeout_ms": 60_000},
            "ranking": {"any_model": False, "aliases": dict.fromkeys(names, "onepass-mini")},
        }
    )
    with serving(settings) as client:
        yield client


def run(command: list[str], service: httpx.Client, **more: str) -> subprocess.CompletedProcess[str]:
    """Run an example, with what it reads of the environment."""
    told = {"ONEPASS_URL": str(service.base_url).rstrip("/"), "ONEPASS_API_KEY": "known"}
    return subprocess.run(  # noqa: S603  our own scripts
        command, env=os.environ | QUIET | told | more, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def run_script(script: Script, service: httpx.Client, **more: str) -> subprocess.CompletedProcess[str]:
    return run([os.environ[script.python], str(EXAMPLES / script.name)], service, **more)


@ALL
def test_it_ranks(service: httpx.Client, script: Script) -> None:
    done = run_script(script, service)

    assert done.returncode == 0, done.stderr
    lines = [line.split(" ", 1) for line in done.stdout.splitlines() if line[:2] == "0."]
    each = len(lines) // script.rankings
    assert each in {2, 3}
    for start in range(0, len(lines), each):
        scores = [float(score) for score, _ in lines[start : start + each]]
        assert lines[start][1] == BEST
        assert scores == sorted(scores, reverse=True)


@NAMING_MODELS
def test_an_unknown_model_is_told_as_its_client_tells_it(service: httpx.Client, script: Script) -> None:
    done = run_script(script, service, ONEPASS_MODEL="unheard-of")

    assert done.returncode != 0
    assert str(script.unknown_model) in done.stderr
    assert "no model of that name" in done.stderr


@ALL
def test_a_wrong_key_gets_no_ranking(service: httpx.Client, script: Script) -> None:
    done = run_script(script, service, ONEPASS_API_KEY="wrong")

    assert done.returncode != 0
    assert "0." not in done.stdout


@TRYING_AGAIN
def test_a_client_that_is_refused_waits_as_long_as_it_is_told(service: httpx.Client, script: Script) -> None:
    body, key = {"query": "q", "documents": ["d"]}, {"Authorization": "Bearer rarely"}
    while service.post("/v1/rerank", json=body, headers=key).status_code == 200:
        pass
    before = refusals(service)

    done = run_script(script, service, ONEPASS_API_KEY="rarely")

    assert done.returncode == 0, done.stderr
    assert refusals(service) == before + 1


def refusals(service: httpx.Client) -> float:
    """How often somebody was told that it is more than a key allows."""
    samples = (line.rsplit(" ", 1) for line in service.get("/metrics").text.splitlines())
    return sum(float(count) for name, count in samples if name.startswith("onepass_requests_total") and '"429"' in name)


def test_plain_httpx_ranks(service: httpx.Client) -> None:
    done = run([sys.executable, str(EXAMPLES / "plain_httpx.py")], service)

    assert done.returncode == 0, done.stderr
    assert BEST in done.stdout.splitlines()[0]


@pytest.mark.needs("curl")
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_ranks(service: httpx.Client) -> None:
    done = run(["/bin/sh", str(EXAMPLES / "rerank.sh")], service)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["document"]["text"] == BEST


def test_every_example_is_run() -> None:
    run_here = {script.name for script in SCRIPTS} | {"plain_httpx.py", "rerank.sh"}
    assert {file.name for file in EXAMPLES.iterdir() if file.is_file()} == run_here
