"""A real Prometheus over a running service: files are valid, rules load, and an overload makes alerts fire.

``.ci/run`` unpacks Prometheus; the variable below names the folder of its programs.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.settings import Settings
from tests.monitoring.files import CONFIG, RULES, panel_expressions, rules
from tests.reranking import RANKING
from tests.serving import serving, slow_model

PROGRAMS = os.environ.get("TEST_PROMETHEUS_PROGRAMS")
pytestmark = [
    pytest.mark.needs("prometheus"),
    pytest.mark.skipif(PROGRAMS is None, reason="needs prometheus: TEST_PROMETHEUS_PROGRAMS"),
]
HERE = Path(__file__).parent


def promtool(*arguments: str | Path, told: str | None = None) -> str:
    """What it says; it must be content."""
    done = subprocess.run(  # noqa: S603 - its own program
        [f"{PROGRAMS}/promtool", *arguments], input=told, capture_output=True, text=True, cwd=HERE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_configuration_and_its_rules_are_valid() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "config", CONFIG)


@pytest.mark.parametrize("file", ["rules_test.yaml", "rules_days_test.yaml"])
def test_the_rules_fire_when_they_should_and_only_then(file: str) -> None:
    assert "SUCCESS" in promtool("test", "rules", file)


def test_metrics_are_named_as_prometheus_would_have_them(service: httpx.Client) -> None:
    assert promtool("check", "metrics", told=service.get("/metrics").text) == ""


def test_an_overload_makes_alerts_fire(demo_indexes: Path, tmp_path: Path) -> None:
    overloaded = {
        "indexes": {"directory": demo_indexes},
        "ranking": RANKING,
        "admission": {"capacity_tokens": 1, "ladder": False},
        "cache": {"kind": "off"},
    }
    with (
        slow_model() as url,
        serving(Settings.model_validate(overloaded | {"engine": {"kind": "vllm", "urls": [url]}})) as service,
        prometheus(service.base_url, tmp_path) as watching,
    ):
        for expression in panel_expressions():
            assert asked(watching, "query", query=expression)["resultType"] == "vector"
        assert not firing(watching)
        wanted = {"OnepassDegradedBurnsFast", "OnepassQueueRefusals"}
        with httpx.Client(base_url=service.base_url, timeout=60) as client, ThreadPoolExecutor(16) as callers:
            for _ in range(1000):
                if wanted <= firing(watching):
                    break
                list(callers.map(lambda number: search(client, number), range(64)))
        assert wanted <= firing(watching)


def search(client: httpx.Client, number: int) -> None:
    client.post("/v1/search", json={"query": f"question {number}", "timeout_ms": 1000})


@contextmanager
def prometheus(service: httpx.URL, folder: Path) -> Iterator[httpx.Client]:
    """A Prometheus that scrapes ``service``, with the rules as they are but for their times."""
    (folder / RULES.name).write_text(hurried(RULES.read_text()))
    text = hurried(CONFIG.read_text()).replace("127.0.0.1:8080", f"{service.host}:{service.port}")
    (folder / CONFIG.name).write_text(text)
    command = [
        *(f"{PROGRAMS}/prometheus", f"--config.file={folder / CONFIG.name}", f"--storage.tsdb.path={folder / 'data'}"),
        *("--web.listen-address=127.0.0.1:0", "--log.level=info"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - its own program
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "Listening on" in line)
            with httpx.Client(base_url=f"http://{re.findall('address=([0-9.:]+)', line)[0]}") as client:
                while not client.get("/-/ready").is_success:
                    pass
                yield client
        finally:
            process.terminate()


def hurried(text: str) -> str:
    """The parameters of a test: every window is 10 s long, nothing has to last, and each second it is looked again."""
    text = re.sub(r"\[\d+[mhd]\]", "[10s]", text)
    return re.sub(r"(for|scrape_interval|evaluation_interval): \d+[smhd]", _hurried_time, text)


def _hurried_time(found: re.Match[str]) -> str:
    return f"{found[1]}: {'0s' if found[1] == 'for' else '1s'}"


def asked(watching: httpx.Client, what: str, **parameters: str) -> Any:
    answer = watching.get(f"/api/v1/{what}", params=parameters).json()
    assert answer["status"] == "success", answer
    return answer["data"]


def firing(watching: httpx.Client) -> set[str]:
    """The names of the alerts that fire."""
    return {alert["labels"]["alertname"] for alert in asked(watching, "alerts")["alerts"] if alert["state"] == "firing"}
