"""What a real process writes to standard error."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

PROGRAM = [sys.executable, "-c", "from service.cli import main; main()"]
CALLER = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"x-request-id": "abc", "traceparent": f"00-{CALLER}-b7ad6b7169203331-00"}
BODY = {"query": "zebra crossing", "documents": ["giraffe", "gnu"], "timeout_ms": 60_000}


def written(indexes: Path, **settings: str) -> list[dict[str, object]]:
    """The lines of a service that answered two requests, the second of which was hot, and refused one."""
    environment = {
        "ONEPASS_INDEXES__DIRECTORY": str(indexes),
        "ONEPASS_ENGINE__KIND": "fake",
        "ONEPASS_LOGS__LEVEL": "debug",
        "ONEPASS_LOGS__JSON_LINES": "true",
        "ONEPASS_LOGS__REQUESTS": "true",
        "ONEPASS_TRACES__ENDPOINT": "http://127.0.0.1:9",
    }
    command = [*PROGRAM, "serve", "--port", "0"]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stderr=subprocess.PIPE, text=True, env=os.environ | environment | settings
    ) as process:
        assert process.stderr is not None
        lines = [next(line for line in process.stderr if "Uvicorn running on" in line)]
        (url,) = re.findall(r"http://[\d.:]+", lines[0])
        for body in (BODY, BODY, BODY | {"documents": 7}):
            httpx.post(f"{url}/v1/rerank", json=body, headers=HEADERS, timeout=60)
        process.send_signal(signal.SIGTERM)
        lines += process.stderr.readlines()
    return [json.loads(line) for line in lines]


def test_every_line_is_json_and_those_of_a_request_have_its_ids_and_none_of_its_words(tmp_path: Path) -> None:
    lines = written(tmp_path)

    requests = [line for line in lines if line["event"] == "request"]
    assert [line["status"] for line in requests] == [200, 200, 422]
    assert {line["request_id"] for line in requests} == {"abc"}
    assert {line["trace_id"] for line in requests} == {CALLER}
    assert not re.search("zebra|giraffe|gnu", json.dumps(lines))


def test_the_text_of_queries_is_written_where_a_setting_asks_for_it(tmp_path: Path) -> None:
    lines = written(tmp_path, ONEPASS_LOGS__QUERIES="true")

    assert [line["query"] for line in lines if line["event"] == "query"] == ["zebra crossing"]
    assert not re.search("giraffe|gnu", json.dumps(lines))
