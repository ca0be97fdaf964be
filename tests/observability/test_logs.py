from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.stdlib import ProcessorFormatter

from service.domain import DegradedReason
from service.observability.events import Degraded, IndexRefused, KeysLoaded, KeysRefused, QueryAsked, RequestFinished
from service.observability.logs import LogObserver, configure, library_logs
from service.observability.spans import Unsampled, within


@pytest.fixture(autouse=True)
def _configured_again() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_degraded_answer_is_a_line_with_its_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", json_lines=True)
    with structlog.contextvars.bound_contextvars(request_id="abc"):
        LogObserver().observe(Degraded(DegradedReason.DEADLINE, "late"))

    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["reason"], line["request_id"], line["level"]) == (
        "degraded",
        "deadline",
        "abc",
        "warning",
    )


def test_a_refused_index_is_an_error_that_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    configure("error", json_lines=True)
    LogObserver().observe(IndexRefused("docs", "IndexCorrupt", "vectors.faiss is missing"))

    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["index"], line["detail"]) == ("error", "docs", "vectors.faiss is missing")


def test_keys_that_could_not_be_read_again_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", json_lines=True)
    LogObserver().observe(KeysLoaded(2))
    LogObserver().observe(KeysRefused("line 3"))

    loaded, refused = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (loaded["level"], loaded["keys"]) == ("info", 2)
    assert (refused["level"], refused["reason"]) == ("error", "line 3")


def test_quiet_levels_and_ordinary_requests_write_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    configure("error", json_lines=True)
    LogObserver().observe(Degraded(DegradedReason.DEADLINE, "late"))
    LogObserver().observe(RequestFinished("/v1/search", "POST", 200, 0.1, "abc"))

    assert capsys.readouterr().err == ""


def test_overload_writes_nothing_that_would_add_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", json_lines=True)
    LogObserver().observe(Degraded(DegradedReason.OVERLOADED, "full"))

    assert capsys.readouterr().err == ""


def test_a_request_is_a_line_where_lines_for_requests_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", json_lines=True)
    LogObserver(requests=True).observe(RequestFinished("/v1/search", "POST", 200, 0.0123456, "abc"))

    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["route"], line["status"], line["ms"], line["request_id"]) == (
        "request",
        "/v1/search",
        200,
        12.346,
        "abc",
    )


def test_a_query_is_written_only_where_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug", json_lines=True)
    LogObserver(requests=True).observe(QueryAsked("zebra"))
    assert capsys.readouterr().err == ""

    LogObserver(queries=True).observe(QueryAsked("zebra"))
    assert json.loads(capsys.readouterr().err)["query"] == "zebra"


def test_a_line_of_a_library_looks_like_any_other() -> None:
    formatter = library_logs("info", json_lines=True)["formatters"]["lines"]
    lines = ProcessorFormatter(**{name: value for name, value in formatter.items() if name != "()"})
    record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, "port %s", (80,), None)
    with structlog.contextvars.bound_contextvars(request_id="abc"), within(Unsampled()):
        line = json.loads(lines.format(record))

    assert (line["event"], line["level"], line["request_id"]) == ("port 80", "warning", "abc")
    assert line["trace_id"]
