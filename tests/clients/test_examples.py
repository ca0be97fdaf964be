"""Every script of ``examples/`` against a real service that asks for keys."""

from __future__ import annotations

import json
import shutil
import sys

import httpx
import pytest

from tests.clients.scripts import EXAMPLES, SCRIPTS, Script, ranked, run, run_script, wanted

BEST = "Fleas live on the blood of mammals and birds."

ALL = pytest.mark.parametrize("script", [wanted(script) for script in SCRIPTS])
NAMING_MODELS = pytest.mark.parametrize("script", [wanted(script) for script in SCRIPTS if script.unknown_model])


@ALL
def test_it_ranks(service: httpx.Client, script: Script) -> None:
    done = run_script(script, str(service.base_url))

    assert done.returncode == 0, done.stderr
    lines = [line.split(" ", 1) for line in ranked(done.stdout)]
    each = len(lines) // script.rankings
    assert each in {2, 3}
    for start in range(0, len(lines), each):
        scores = [float(score) for score, _ in lines[start : start + each]]
        assert lines[start][1] == BEST
        assert scores == sorted(scores, reverse=True)


@NAMING_MODELS
def test_an_unknown_model_is_told_as_its_client_tells_it(service: httpx.Client, script: Script) -> None:
    done = run_script(script, str(service.base_url), ONEPASS_MODEL="unheard-of")

    assert done.returncode != 0
    assert str(script.unknown_model) in done.stderr
    assert "no model of that name" in done.stderr


def test_plain_httpx_ranks(service: httpx.Client) -> None:
    done = run([sys.executable, str(EXAMPLES / "plain_httpx.py")], str(service.base_url))

    assert done.returncode == 0, done.stderr
    assert BEST in done.stdout.splitlines()[0]


@pytest.mark.needs("curl")
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_ranks(service: httpx.Client) -> None:
    done = run(["/bin/sh", str(EXAMPLES / "rerank.sh")], str(service.base_url))

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["document"]["text"] == BEST


def test_every_example_is_run() -> None:
    run_here = {script.name for script in SCRIPTS} | {"plain_httpx.py", "rerank.sh"}
    assert {file.name for file in EXAMPLES.iterdir() if file.is_file()} == run_here
