from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import Cli

PROGRAM = [sys.executable, "-c", "from service.cli import main; main()"]


@contextmanager
def served(scheme: str = "http") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service in a process of its own, on a port that was free, and its address."""
    with subprocess.Popen(  # noqa: S603 - our own program
        [*PROGRAM, "serve", "--port", "0"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(scheme + r"://127\.0\.0\.1:\d+", line):
                break
        else:
            pytest.fail("the service ended before it listened")
        yield process, found[0]
        process.kill()


@pytest.fixture
def server(cli: Cli, beir: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    cli("index", "build", beir)
    with served() as running:
        yield running


def test_the_service_answers_and_ends_when_told_to(server: tuple[subprocess.Popen[str], str]) -> None:
    process, address = server
    answer = httpx.post(f"{address}/v1/search", json={"query": "how do bees make honey"}, timeout=30)
    assert answer.status_code == 200
    assert {result["id"] for result in answer.json()["results"]} == {"tides", "honey", "bread", "rust"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


@pytest.mark.usefixtures("cli")
def test_it_serves_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(  # noqa: S603
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("ONEPASS_SERVER__TLS_CERTIFICATE", str(certificate))
    monkeypatch.setenv("ONEPASS_SERVER__TLS_KEY", str(key))
    with served("https") as (_, address):
        trusted = ssl.create_default_context(cafile=certificate)
        assert httpx.get(f"{address}/livez", verify=trusted).json() == {"live": True}
        too_large = {"X-Padding": "p" * 70_000}
        assert httpx.get(f"{address}/livez", verify=trusted, headers=too_large).status_code == 431


def test_a_certificate_without_its_key_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEPASS_SERVER__TLS_CERTIFICATE", "certificate.pem")
    assert "belong together" in cli("serve", code=2).output


def test_a_profile_that_does_not_exist_is_named(cli: Cli) -> None:
    assert "no profile of that name" in cli("serve", "--profile", "unheard-of", code=2).output
