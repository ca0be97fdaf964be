"""Whatever bytes arrive over a real socket: an answer below 500 in the shape of the path, or a closed connection."""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.settings import Settings
from tests.api.raw import JSON, body_of, connected, everything, exchange, head, interrupted, post, readable, statuses
from tests.serving import serving, serving_apart

PATHS = (
    "/v1/search",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/infinity/rerank",
    "/voyage/v1/rerank",
    "/score",
)
EVERY_PATH = pytest.mark.parametrize("path", PATHS)
HEAD_BYTES = 4096
BODY_BYTES = 1 << 20


def settings_with(folder: Path, **limits: float) -> Settings:
    """A service that does no work of its own; ``limits`` beside those of these tests."""
    held = {"head_bytes": HEAD_BYTES, "body_bytes": BODY_BYTES} | limits
    return Settings.model_validate(
        {
            "engine": {"kind": "fake"},
            "indexes": {"directory": folder},
            "limits": held,
            "server": {"tenant_header": "X-Tenant"},
        }
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with serving(settings_with(tmp_path_factory.mktemp("none"))) as client:
        yield client
        assert failures(client) == []


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that waits for nobody."""
    with serving(settings_with(tmp_path_factory.mktemp("none"), receive_s=0.2)) as client:
        yield client
        assert failures(client) == []


def failures(client: httpx.Client) -> list[str]:
    """Counters of answers that say the service is to blame."""
    return re.findall(r'onepass_requests_total\{[^}]*status="5\d\d"\} .*', client.get("/metrics").text)


REQUEST = post("/v1/rerank", json.dumps({"query": "q", "documents": ["a", "b"]}).encode())
PIECES = st.binary(max_size=40) | st.sampled_from(
    [b"\r\n", b"\r\n\r\n", b"\0", b": ", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"ffffffffff\r\n"]
)


@given(data=st.binary(max_size=400))
def test_bytes_that_are_no_http_are_refused(service: httpx.Client, data: bytes) -> None:
    assert all(status < 500 for status in statuses(interrupted(service, data)))


@given(
    changes=st.lists(st.tuples(st.integers(0, len(REQUEST)), st.integers(0, 20), PIECES), min_size=1, max_size=4),
)
def test_requests_with_bytes_changed_do_no_harm(service: httpx.Client, changes: list[tuple[int, int, bytes]]) -> None:
    data = REQUEST
    for place, removed, inserted in changes:
        data = data[:place] + inserted + data[place + removed :]

    assert all(status < 500 for status in statuses(interrupted(service, data)))


@EVERY_PATH
@settings(max_examples=30)
@given(body=st.binary(max_size=200))
def test_bodies_of_any_bytes_are_told_so(service: httpx.Client, path: str, body: bytes) -> None:
    answer = exchange(service, post(path, body))

    assert statuses(answer)[0] in {400, 422}
    assert "error" in body_of(answer)


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


HUGE = "9" * 4000
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "lists in lists": nested(200_000).encode(),
    "objects in objects": b'{"a":' * 150_000,
    "a query of lists": f'{{"query": {nested(900)}, "documents": ["d"]}}'.encode(),
    "metadata 990 levels deep": f'{{"query": "q", "documents": [{{"text": "t", "a": {nested(990)}}}]}}'.encode(),
    "a number of 10,000 digits": f'{{"query": "q", "documents": ["d"], "top_n": {HUGE * 3}}}'.encode(),
    "a text of a number": f'{{"query": {HUGE}, "text_1": {HUGE}}}'.encode(),
    "a number beyond floats": b'{"query": "q", "documents": ["d"], "top_n": 1e999}',
    "NaN": b'{"query": "q", "documents": ["d"], "top_n": NaN, "top_k": NaN, "timeout_ms": NaN}',
    "Infinity": b'{"query": "q", "documents": ["d"], "top_n": Infinity, "top_k": -Infinity, "priority": -Infinity}',
    "UTF-16": '{"query": "q", "documents": 1}'.encode("utf-16"),
    "latin-1": '{"query": "é", "documents": ["é"]}'.encode("latin-1"),
    "half a character": '{"query": "é'.encode()[:-1] + b'", "documents": ["d"]}',
    "half a surrogate pair": rb'{"query": "\ud800", "documents": ["\udfff"], "texts": ["\udfff"], "text_1": "\ud800"}',
    "half a surrogate pair as a field": rb'{"query": "q", "\ud800": 1}',
    "a field with a long name": b'{"query": "q", "%s": 1}' % (b"k" * 900_000),
    "many fields": json.dumps({f"k{number}": number for number in range(50_000)}).encode(),
    "control characters": b'{"query": "\0\1\2", "documents": ["d"]}',
    "a form": b"query=q&documents=d",
}


@EVERY_PATH
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_hostile_bodies_are_refused_in_the_shape_of_the_path(service: httpx.Client, path: str, body: bytes) -> None:
    answer = exchange(service, post(path, body))

    assert statuses(answer)[0] in {400, 413, 422}
    assert "error" in body_of(answer)
    assert len(answer) < 4096, "and what was sent is not sent back"


ODD: dict[str, tuple[str, bytes]] = {
    "fields twice, the last one counts": (
        "/v1/rerank",
        b'{"query": 1, "query": "q", "documents": 1, "documents": ["d"]}',
    ),
    "a number of 4,000 digits": ("/v1/rerank", f'{{"query": "q", "documents": ["d"], "top_n": {HUGE}}}'.encode()),
    "metadata as deep as may be": (
        "/v1/rerank",
        f'{{"query": "q", "documents": [{{"text": "t", "metadata": {{"a": {nested(64)}}}}}],'
        '"return_documents": true}'.encode(),
    ),
    "metadata with a huge number": (
        "/v1/rerank",
        f'{{"query": "q", "documents": [{{"text": "t", "metadata": {{"a": {HUGE}}}}}],'
        '"return_documents": true}'.encode(),
    ),
    "fields to rank, as deep as may be": (
        "/v2/rerank",
        f'{{"query": "q", "rank_fields": ["a"], "documents": [{{"a": {nested(64)}}}]}}'.encode(),
    ),
    "fields to rank with odd names": (
        "/v2/rerank",
        '{"query": "q", "rank_fields": ["", "\\u2028", "é"], "documents": [{"": ": - |", "\\u2028": "?"}]}'.encode(),
    ),
    "a byte order mark": ("/v1/rerank", b'\xef\xbb\xbf{"query": "q", "documents": ["d"]}'),
    "UTF-32": ("/v1/rerank", '{"query": "q", "documents": ["d"]}'.encode("utf-32")),
}


@pytest.mark.parametrize(("path", "body"), ODD.values(), ids=ODD.keys())
def test_odd_bodies_are_answered(service: httpx.Client, path: str, body: bytes) -> None:
    answer = exchange(service, post(path, body))

    assert statuses(answer) == [200]
    assert len(body_of(answer)["results"]) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/rerank", f'{{"query": "q", "documents": [{{"text": "t", "metadata": {{"a": {nested(65)}}}}}]}}'),
        ("/v2/rerank", f'{{"query": "q", "rank_fields": ["a"], "documents": [{{"a": {nested(65)}}}]}}'),
    ],
)
def test_what_could_not_be_given_back_is_refused(service: httpx.Client, path: str, body: str) -> None:
    answer = exchange(service, post(path, body.encode()))

    assert statuses(answer) == [422]
    assert b"64 levels" in answer


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json; charset=utf-7", "multipart/form-data", "é", ""]
)
def test_other_types_of_content_do_no_harm(service: httpx.Client, content_type: str) -> None:
    headers = [(b"Content-Type", content_type.encode("latin-1"))]

    assert service.post("/v1/rerank", content=b'{"query": 1}', headers=headers).status_code == 422


def padded(size: int) -> bytes:
    """A request whose line and headers have ``size`` bytes."""
    name, end = b"X-Padding: ", b"\r\n"
    bare = head("/livez", b"Connection: close\r\n", method="GET")
    return head(
        "/livez", b"Connection: close\r\n", name + b"p" * (size - len(bare) - len(name + end)) + end, method="GET"
    )


def test_a_head_may_be_as_large_as_the_limit_and_no_larger(service: httpx.Client) -> None:
    assert len(padded(HEAD_BYTES)) == HEAD_BYTES
    assert statuses(exchange(service, padded(HEAD_BYTES))) == [200]
    assert statuses(exchange(service, padded(HEAD_BYTES + 1))) == [431]


@pytest.mark.parametrize(
    "data",
    [
        padded(300_000),
        b"GET /" + b"p" * 300_000,
        b"G" * 300_000,
        head("/livez")[:-2] + b"X: y\r\n" * 50_000,
        head("/livez")[:-2] + b"X" * 300_000,
        b"\r\n" * 150_000,
        b"\0" * 300_000,
    ],
    ids=["one header", "a path", "a method", "many headers", "a header's name", "empty lines", "no HTTP"],
)
def test_a_head_that_does_not_end_is_refused(service: httpx.Client, data: bytes) -> None:
    answer = exchange(service, data)

    assert statuses(answer) in ([400], [431])
    assert set(body_of(answer)) == {"error"}


CHUNKED = b"Transfer-Encoding: chunked\r\n"


def test_trailers_that_do_not_end_are_refused(service: httpx.Client) -> None:
    data = head("/v1/rerank", JSON, CHUNKED) + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 50_000

    assert statuses(exchange(service, data)) == [431]


def test_a_trailer_is_no_header(service: httpx.Client) -> None:
    body = b'{"query": "q", "documents": ["d"]}'
    chunk = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    ask = head("/v1/rerank", JSON, CHUNKED, b"Connection: close\r\n") + chunk

    assert statuses(exchange(service, ask + b"X-Tenant: no tenant's name\r\n\r\n")) == [200]


def test_chunks_of_one_byte_are_a_body(service: httpx.Client) -> None:
    body = json.dumps({"query": "q", "documents": ["d" * 5000]}).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"

    answer = exchange(service, head("/v1/rerank", JSON, CHUNKED, b"Connection: close\r\n") + chunks)

    assert statuses(answer) == [200]


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        (b"POST /v1/re", {"error"}),
        (head("/v1/rerank", JSON)[:-2] + b"X-Slow: ", {"error"}),
        (head("/v1/search", JSON, b"Content-Length: 9\r\n") + b"{", {"error"}),
        (head("/v1/rerank", JSON, CHUNKED) + b"1\r\n{", {"error", "message", "detail"}),
        (
            head("/rerank", JSON, b"Content-Length: 9\r\n") + b"{",
            {"error", "error_type", "message", "detail", "field"},
        ),
    ],
)
def test_what_comes_too_slowly_is_given_up(impatient: httpx.Client, data: bytes, shape: set[str]) -> None:
    answer = exchange(impatient, data)

    assert statuses(answer) == [408]
    assert set(body_of(answer)) == shape


def test_a_connection_that_says_nothing_is_closed(impatient: httpx.Client) -> None:
    assert exchange(impatient, b"") == b""


def test_a_body_that_comes_byte_by_byte_is_given_up(impatient: httpx.Client) -> None:
    with connected(impatient) as connection:
        connection.sendall(head("/v1/rerank", JSON, b"Content-Length: 100000\r\n"))
        with suppress(BrokenPipeError, ConnectionResetError):
            while not readable(connection, within=0.01):
                connection.sendall(b" ")
        assert statuses(everything(connection)) == [408]


def test_what_was_refused_already_is_not_answered_twice(impatient: httpx.Client) -> None:
    data = head("/v2/rerank", JSON, b"Content-Length: %d\r\n" % (BODY_BYTES + 1)) + b"{"

    assert statuses(exchange(impatient, data)) == [413]


def resident_mb(process: int) -> float:
    """Memory of a process that is in use, in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


HEAVY = (
    *(
        post(path, body)
        for path in PATHS
        for body in (nested(3_000_000).encode(), b'{"query": "%s"}' % (b"q" * 7_000_000))
    ),
    post("/v1/rerank", json.dumps({f"k{number}": number for number in range(300_000)}).encode()),
    b"GET /" + b"p" * 10_000_000,
    head("/v1/rerank", JSON, CHUNKED) + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 2_000_000,
    head("/v1/rerank", JSON, CHUNKED) + b"100000\r\n" + b"x" * 20_000_000,
)
"""Each holds millions of bytes to keep."""


def test_memory_stays_flat(tmp_path: Path) -> None:
    with serving_apart(ONEPASS_INDEXES__DIRECTORY=str(tmp_path), ONEPASS_ENGINE__KIND="fake") as (client, process):
        used = []
        for _ in range(6):
            for data in HEAVY:
                exchange(client, data)
            used.append(resident_mb(process))
        assert failures(client) == []
    assert max(used[3:]) - max(used[:3]) < 20, used
