"""Indexes that change while they are served, over real HTTP."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import httpx
import pytest
from pydantic import SecretStr

from service.domain import Document
from service.retrieval import index_store
from service.retrieval.builder import Recipe, build_index
from service.retrieval.embedding.static import StaticEmbedder
from service.retrieval.index_writer import index_writer
from service.settings import (
    EmbedderKind,
    EmbedderSettings,
    EngineKind,
    EngineSettings,
    IndexSettings,
    ServerSettings,
    Settings,
)
from tests.serving import serving

KEY = "a key of many letters"
ADMIN = {"Authorization": f"Bearer {KEY}"}
SWAPS = 20


def settings(directory: Path, *, key: str | None = KEY, watch_s: float = 0) -> Settings:
    return Settings(
        server=ServerSettings(admin_key=None if key is None else SecretStr(key)),
        indexes=IndexSettings(directory=directory, watch_s=watch_s),
        embedder=EmbedderSettings(kind=EmbedderKind.STATIC),
        engine=EngineSettings(kind=EngineKind.FAKE),
    )


def build(folder: Path, count: int) -> str:
    documents = [Document(f"d{n}", f"The fact of number {n}.") for n in range(count)]
    return anyio.run(lambda: build_index(folder, documents, StaticEmbedder())).version


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    build(tmp_path / "facts", 1)
    return tmp_path


@pytest.fixture
def live(directory: Path) -> Iterator[httpx.Client]:
    with serving(settings(directory)) as client:
        yield client


def reload(client: httpx.Client, name: str = "facts") -> httpx.Response:
    return client.post(f"/v1/indexes/{name}:reload", headers=ADMIN)


def test_a_reload_serves_the_new_version_and_lists_it(live: httpx.Client, directory: Path) -> None:
    version = build(directory / "facts", 3)
    response = reload(live)
    assert response.status_code == 200
    assert (response.json()["version"], response.json()["documents"]) == (version, 3)
    assert live.get("/v1/indexes").json() == [response.json()]
    assert live.get("/readyz").json()["indexes"] == {"facts": version}
    assert 'onepass_index_documents{index="facts"} 3.0' in live.get("/metrics").text


def test_a_new_index_is_served_after_a_reload(live: httpx.Client, directory: Path) -> None:
    build(directory / "more", 2)
    assert reload(live, "more").status_code == 200
    assert [(index["name"], index["default"]) for index in live.get("/v1/indexes").json()] == [
        ("facts", True),
        ("more", False),
    ]
    answer = live.post("/v1/search", json={"query": "fact", "index": "more"}).json()
    assert {result["id"] for result in answer["results"]} == {"d0", "d1"}


def test_a_broken_version_is_a_clear_error_and_the_old_one_is_served(live: httpx.Client, directory: Path) -> None:
    before = live.get("/v1/indexes").json()
    build(directory / "facts", 3)
    (index_store.current_version(directory / "facts") / index_store.VECTORS).write_bytes(b"nothing")
    response = reload(live)
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "index_corrupt"
    assert "the manifest says" in response.json()["error"]["message"]
    assert live.get("/v1/indexes").json() == before
    assert live.post("/v1/search", json={"query": "fact"}).json()["index_version"] == before[0]["version"]
    assert 'onepass_index_refused_total{error="IndexCorrupt",index="facts"} 1.0' in live.get("/metrics").text


def test_a_name_that_is_no_index_is_not_found(live: httpx.Client) -> None:
    response = reload(live, "nowhere")
    assert (response.status_code, response.json()["error"]["field"]) == (404, "name")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"}])
def test_without_the_key_nothing_is_reloaded(live: httpx.Client, directory: Path, headers: dict[str, str]) -> None:
    before = live.get("/v1/indexes").json()
    build(directory / "facts", 2)
    response = live.post("/v1/indexes/facts:reload", headers=headers)
    assert (response.status_code, response.json()["error"]["type"]) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"
    assert live.get("/v1/indexes").json() == before


def test_without_a_key_in_the_settings_there_is_no_such_endpoint(directory: Path) -> None:
    with serving(settings(directory, key=None)) as client:
        assert reload(client).status_code == 404
        assert not [path for path in client.get("/openapi.json").json()["paths"] if path.endswith(":reload")]


def test_the_watcher_follows_what_the_command_line_does(directory: Path) -> None:
    with serving(settings(directory, watch_s=0.01)) as client:
        version = build(directory / "facts", 3)
        build(directory / "more", 1)
        wait_for(client, {"facts": version, "more": index_version(directory / "more")})
        shutil.rmtree(directory / "more")
        wait_for(client, {"facts": version})
        assert client.post("/v1/search", json={"query": "fact", "index": "more"}).status_code == 404


def index_version(folder: Path) -> str:
    return index_store.read_manifest(index_store.current_version(folder)).version


def wait_for(client: httpx.Client, versions: dict[str, str]) -> None:
    """Ask until these are the versions served, at most some ten seconds."""
    asked = threading.Event()
    for _ in range(1000):
        if client.get("/readyz").json()["indexes"] == versions:
            return
        asked.wait(0.01)
    pytest.fail(f"{versions} are not served")


def test_twenty_swaps_under_load_fail_no_request_and_mix_no_versions(live: httpx.Client, directory: Path) -> None:
    holds = {live.get("/v1/indexes").json()[0]["version"]: {"d0"}}
    seen: list[set[str]] = []
    done = threading.Event()

    def ask(asker: int) -> int:
        asked = 0
        versions: set[str] = set()
        while not done.is_set():
            asked += 1
            query = "fact" if asker == 0 else f"fact {asker} {asked}"  # the first one is mostly answered by the cache
            response = live.post("/v1/search", json={"query": query, "top_k": 50, "mode": "dense"})
            assert response.status_code == 200, response.text
            answer = response.json()
            assert not answer["rerank"]["degraded"]
            assert {result["id"] for result in answer["results"]} == holds[answer["index_version"]]
            versions.add(answer["index_version"])
        seen.append(versions)
        return asked

    async def add(number: int) -> str:
        with index_writer(directory / "facts", Recipe(StaticEmbedder())) as writer:
            writer.add([Document(f"d{number}", f"Another fact, {number}.")])
            return (await writer.publish()).version

    with ThreadPoolExecutor(3) as threads:
        askers = [threads.submit(ask, asker) for asker in range(3)]
        try:
            for number in range(1, SWAPS + 1):
                holds[anyio.run(add, number)] = {f"d{n}" for n in range(number + 1)}
                assert reload(live).status_code == 200
        finally:
            done.set()
        assert sum(asker.result() for asker in askers) > SWAPS
    assert len(set.union(*seen)) > SWAPS / 2
