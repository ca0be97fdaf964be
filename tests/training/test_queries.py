from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from service.corpus.beir import BeirFolder
from service.domain import Document
from service.errors import EngineProtocolError, EngineRejected, EngineUnavailable
from tests.training import made
from training import remote
from training.collection import read_collection
from training.queries import Extract, ask_all, is_copy, main, spread, words
from training.remote import Teacher, client, posted

Reply = Callable[[str, dict[str, Any]], tuple[int, Any]]
"""From the path and the body of a request to the status and the JSON of the answer."""

TEXT = (
    "The heron waits in shallow water for a very long time. Its plumage shows bluish powder down near the breast."
    " It is a bird that many people know."
)
HERON = Document("heron", TEXT, "Grey heron")


@contextmanager
def served(reply: Reply) -> Iterator[str]:
    """A server on loopback that answers every POST; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = reply(self.path, {**body, "key": self.headers.get("Authorization")})
            content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once, and keys of the machine are not sent."""
    monkeypatch.setattr(remote, "BACKOFF_S", 0.0)
    for name in ("OPENAI_API_KEY", "TEACHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return made.write_set(tmp_path / "toys") / "corpus.jsonl"


def completion(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


def run(corpus: Path, name: str, *more: str) -> BeirFolder:
    out = corpus.parent.parent / name
    main([str(corpus), "--out", str(out), "--count", "12", *more])
    return BeirFolder(out)


def test_extracted_queries_are_a_title_keywords_or_a_sentence() -> None:
    others = [Document(f"d{i}", f"the bird waits in water for a time and it is number {i}") for i in range(20)]
    extract = Extract([HERON, *others])
    found = {extract(HERON, np.random.default_rng(seed)) for seed in range(40)}

    assert "Grey heron" in found
    assert "The heron waits in shallow water for a very long time." in found  # the title's word occurs twice
    keywords = {query for query in found if query == query.lower()}
    assert keywords
    assert all(2 <= len(words(query)) <= 5 for query in keywords)
    assert not {"the", "water", "it"} & {word for query in keywords for word in words(query)}


def test_query_that_copies_the_passage_is_recognised() -> None:
    passage = Document("d", "Herons wait in shallow water, and then they strike very fast.")

    assert is_copy("herons wait in shallow water and then they strike very fast", passage)
    assert is_copy("Herons wait in shallow water, and then", passage)
    assert not is_copy("how do herons hunt", passage)


def test_passage_of_one_sentence_is_never_asked_with_that_sentence() -> None:
    passage = Document("d", "Herons wait in shallow water until a fish comes near.")
    extract = Extract([passage, HERON])

    assert not any(is_copy(extract(passage, np.random.default_rng(seed)), passage) for seed in range(20))


def test_repeated_long_and_copied_queries_are_left_out() -> None:
    answers = {"a": "grey heron", "b": "grey heron", "c": "", "d": TEXT, "e": " ".join(["word"] * 41), "f": "plumage"}
    long = f"{TEXT} " * 5
    documents = [Document(name, TEXT if name == "d" else long) for name in answers]
    queries, qrels = ask_all(lambda document, _: answers[document.id], documents, 0)

    assert queries == {"synthetic-0": "grey heron", "synthetic-1": "plumage"}
    assert qrels == {"synthetic-0": {"a": 1}, "synthetic-1": {"f": 1}}


def test_passages_are_spread_over_clusters() -> None:
    random = np.random.default_rng(0)
    centres = np.eye(4, 16, dtype=np.float32)
    sizes = (200, 20, 20, 20)
    kinds = np.repeat(np.arange(4), sizes)
    vectors = centres[kinds] + random.normal(scale=0.02, size=(260, 16)).astype(np.float32)
    found = spread(vectors, 20, seed=1)

    assert len(set(found)) == 20
    assert Counter(kinds[found].tolist()) == {0: 5, 1: 5, 2: 5, 3: 5}
    assert found == spread(vectors, 20, seed=1) != spread(vectors, 20, seed=2)
    assert sorted(spread(vectors, 1000, seed=1)) == list(range(260))


def test_queries_are_the_same_for_the_same_seed(corpus: Path) -> None:
    first, again = run(corpus, "first"), run(corpus, "again")
    other = run(corpus, "other", "--seed", "1")

    assert first.queries() == again.queries() != other.queries()
    assert first.qrels("train") == again.qrels("train")


def test_set_can_be_trained_on(corpus: Path) -> None:
    made_set = run(corpus, "set")
    collection = read_collection(made_set.path)

    assert len(collection.corpus) == made.DOCUMENTS
    assert collection.corpus == made.collection().corpus
    assert len(collection.answerable()) == len(made_set.queries()) > 6
    for query, (source,) in collection.qrels.items():
        assert not is_copy(collection.queries[query], collection.corpus[source])


def test_folder_that_holds_files_is_left_alone(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(corpus), "--out", str(corpus.parent)])
    assert "holds files already" in capsys.readouterr().err


def test_model_writes_the_queries(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def reply(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        assert path == "/v1/chat/completions"
        asked.append(body)
        if "d5" in body["messages"][-1]["content"]:
            return 400, {"error": "no"}
        return 200, completion(f'Query: "about {body["messages"][-1]["content"].split()[-1]}"\nand more')

    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with served(reply) as url:
        found = run(corpus, "written", "--url", f"{url}/v1", "--model", "writer")

    collection = read_collection(found.path)
    for query, (source,) in collection.qrels.items():
        assert collection.queries[query] == f"about {collection.corpus[source].text.split()[-1]}"
    assert {(each["model"], each["key"]) for each in asked} == {("writer", "Bearer secret")}
    assert [turn["role"] for turn in asked[0]["messages"]] == ["system", *["user", "assistant"] * 3, "user"]
    assert len({each["messages"][-1]["content"].partition("\n")[0] for each in asked}) > 1  # kinds


def test_failing_calls_are_tried_again_a_bounded_number_of_times() -> None:
    calls = Counter[str]()

    def reply(path: str, _: dict[str, Any]) -> tuple[int, Any]:
        calls[path] += 1
        return {"/busy": (503, {}), "/bad": (422, {"why": "so"}), "/odd": (200, "<html>")}.get(
            path, (200, {"fine": True}) if calls[path] == 3 else (429, {})
        )

    with served(reply) as url, client(url, None) as server:
        assert posted(server, "/late", {}) == {"fine": True}
        with pytest.raises(EngineUnavailable, match=r"/busy: no answer in 4 attempts, last HTTP 503"):
            posted(server, "/busy", {})
        with pytest.raises(EngineRejected, match=r"/bad: HTTP 422: .*so"):
            posted(server, "/bad", {})
        with pytest.raises(EngineProtocolError, match="not JSON"):
            posted(server, "/odd", {})
    assert calls == {"/late": 3, "/busy": 4, "/bad": 1, "/odd": 1}
    with client(url, None) as server, pytest.raises(EngineUnavailable, match="ConnectError"):
        posted(server, "/gone", {})


def test_model_that_answers_otherwise_is_an_error(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(lambda *_: (200, {"choices": []})) as url, pytest.raises(SystemExit):
        run(corpus, "odd", "--url", url, "--model", "writer")
    assert "not a chat completion" in capsys.readouterr().err


def test_teacher_grades_the_source_and_those_nearly_as_good() -> None:
    candidates = [Document(name, f"text of {name}") for name in "abcde"]
    scores = {0: 0.9, 1: 0.85, 2: 0.7, 3: 0.1, 4: 0.05}

    def reply(_: str, body: dict[str, Any]) -> tuple[int, Any]:
        assert body["strict"]
        best = sorted(scores, key=lambda place: -scores[place])[: body["top_n"]]
        return 200, {"results": [{"index": place, "score": scores[place]} for place in best]}

    with served(reply) as url, client(url, None) as server:
        teacher = Teacher(server)
        assert teacher.grades("q", "a", candidates) == {"a": 2, "b": 1}
        assert teacher.grades("q", "c", candidates) == {"a": 1, "b": 1, "c": 2}
        assert teacher.grades("q", "d", candidates) == {}


def test_teacher_that_answers_otherwise_is_an_error() -> None:
    with (
        served(lambda *_: (200, {"results": [{"index": 7, "score": 1}]})) as url,
        client(url, None) as server,
        pytest.raises(EngineProtocolError, match=r"not an answer of /v1/rerank"),
    ):
        Teacher(server).grades("q", "a", [Document("a", "text")])


def test_queries_that_the_teacher_does_not_answer_are_dropped(corpus: Path) -> None:
    def reply(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        assert path == "/v1/rerank"
        assert len(body["documents"]) == 20
        places = range(len(body["documents"]))
        words_of = [set(words(each["text"])) for each in body["documents"]]
        score = [len(found & set(words(body["query"]))) for found in words_of]
        best = sorted(places, key=lambda place: score[place] if len(body["query"]) % 2 else -score[place])
        return 200, {"results": [{"index": place, "score": 0.5 / (1 + at)} for at, place in enumerate(best[:3])]}

    with served(reply) as url:
        plain, taught = run(corpus, "plain"), run(corpus, "taught", "--teacher", url)

    assert set(taught.queries().values()) < set(plain.queries().values())
    assert all(2 in grades.values() for grades in taught.qrels("train").values())
    assert taught.queries().keys() == taught.qrels("train").keys()
