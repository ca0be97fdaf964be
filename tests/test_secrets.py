"""A secret setting goes where it is meant to go and nowhere else: not into logs, metrics, answers or a terminal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import get_args

import httpx
import pytest
from pydantic import SecretStr

from service.settings import Section, Settings, variable
from tests.reranking import PROFILES

CANARY = "canary-"
SECRETS = {
    "ONEPASS_EMBEDDER__API_KEY": f"{CANARY}embedder",
    "ONEPASS_ENGINE__API_KEY": f"{CANARY}engine",
    "ONEPASS_INDEXES__MILVUS_TOKEN": f"{CANARY}milvus",
    "ONEPASS_SERVER__ADMIN_KEY": f"{CANARY}admin",
    "ONEPASS_CACHE__URL": f"redis://someone:{CANARY}cache@127.0.0.1:1/0",
}
PROGRAM = [sys.executable, "-c", "from service.cli import main; main()"]
QUESTION = {"query": "bees", "timeout_ms": 2000}
DOCUMENTS = {"documents": ["honey", "wax"]}


def secret_settings() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        assert isinstance(field.default, Section)
        for inner, part in type(field.default).model_fields.items():
            if SecretStr in (part.annotation, *get_args(part.annotation)):
                yield variable(name, inner)


class Upstream(ThreadingHTTPServer):
    """An embedder at first; once it ``refuses``, it is healthy, refuses everybody and repeats the token it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.sent: list[str] = []
        self.refuses = False


class _Handler(BaseHTTPRequestHandler):
    server: Upstream

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        authorisation = self.headers.get("Authorization", "")
        self.server.sent.append(authorisation)
        if self.path == "/health":
            self._answer(200, {})
        elif self.server.refuses:
            self._answer(401, {"error": {"message": f"no such token: {authorisation}"}})
        else:
            texts = json.loads(body)["input"]
            self._answer(200, {"data": [{"index": i, "embedding": [1.0, 0.0]} for i, _ in enumerate(texts)]})

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def environment(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret set, and a use for each."""
    values = SECRETS | {
        "ONEPASS_INDEXES__DIRECTORY": str(tmp_path / "indexes"),
        "ONEPASS_INDEXES__MILVUS_URL": "http://127.0.0.1:1",
        "ONEPASS_EMBEDDER__KIND": "openai",
        "ONEPASS_EMBEDDER__URL": f"{upstream.url}/v1",
        "ONEPASS_EMBEDDER__MODEL": "m",
        "ONEPASS_EMBEDDER__DIMENSION": "2",
        "ONEPASS_ENGINE__KIND": "vllm",
        "ONEPASS_ENGINE__URLS": json.dumps([upstream.url]),
        "ONEPASS_RANKING__PROFILE": "listwise",
        "ONEPASS_RANKING__PROFILES_DIRECTORY": str(PROFILES),
        "ONEPASS_CACHE__KIND": "redis",
        "ONEPASS_LOGS__LEVEL": "debug",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environment")
def test_no_secret_is_shown_to_anybody(tmp_path: Path, upstream: Upstream) -> None:
    passages = tmp_path / "nature.jsonl"
    passages.write_text('{"id": "a", "text": "bees make honey"}\n{"id": "b", "text": "tides"}\n')
    shown = [onepass("index", "build", str(passages)), onepass("settings")]
    upstream.refuses = True
    answers: list[str] = []
    with served() as (address, log):
        for path, body in (("search", QUESTION), ("rerank", QUESTION | DOCUMENTS)):
            asked = (body, body | {"strict": True, "explain": True}, body | {"index": 7, "query": None})
            shown += (told := [httpx.post(f"{address}/v1/{path}", json=request, timeout=30).text for request in asked])
            answers += told
        for name, key in (("nature", "admin"), ("nowhere", "admin"), ("nature", "wrong")):
            headers = {"Authorization": f"Bearer {CANARY}{key}"}
            shown.append(httpx.post(f"{address}/v1/indexes/{name}:reload", headers=headers, timeout=30).text)
        shown += [httpx.get(address + page).text for page in ("/metrics", "/readyz", "/v1/indexes", "/openapi.json")]
    shown.append("".join(log))

    assert any("no such token: Bearer ***" in text for text in shown)
    assert {f"Bearer {CANARY}embedder", f"Bearer {CANARY}engine"} <= set(upstream.sent)
    assert [text for text in shown if CANARY in text] == []
    assert any('"engine_' in text for text in answers)
    assert [text for text in answers if upstream.url.removeprefix("http://") in text] == []


@pytest.mark.usefixtures("environment")
def test_a_setting_that_does_not_fit_does_not_show_the_secrets_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEPASS_CACHE__LIMIT_MS", "-1")
    monkeypatch.setenv("ONEPASS_EMBEDDER__BATCH", "many")
    said = onepass("serve", code=2)
    assert "ONEPASS_EMBEDDER__BATCH" in said
    assert CANARY not in said


def test_every_secret_is_among_them_and_none_is_printed() -> None:
    assert set(secret_settings()) == set(SECRETS)
    settings = Settings.model_validate({"engine": {"api_key": CANARY}, "embedder": {"api_key": CANARY}})
    assert CANARY not in f"{settings!r} {settings} {settings.model_dump_json()}"


def onepass(*arguments: str, code: int = 0) -> str:
    """What a command writes to either stream."""
    done = subprocess.run(  # noqa: S603 - our own program
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == code, done.stdout
    return done.stdout


@contextmanager
def served() -> Iterator[tuple[str, list[str]]]:
    """The address of a service in a process of its own, and the lines of its log; all of them once it has ended."""
    log: list[str] = []
    with subprocess.Popen(  # noqa: S603 - our own program
        [*PROGRAM, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield _address(process.stdout, log), log
        finally:
            process.terminate()
            log.extend(process.stdout)


def _address(lines: Iterator[str], log: list[str]) -> str:
    for line in lines:
        log.append(line)
        if found := re.search(r"http://127\.0\.0\.1:\d+(?= \(Press)", line):
            return found[0]
    pytest.fail("the service ended before it listened:\n" + "".join(log))
