from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.cli.console import OUT
from tests.cli.commands import PASSAGES, Cli, write_lines
from tests.reranking import RANKING


@pytest.fixture
def indexes(tmp_path: Path) -> Path:
    return tmp_path / "indexes"


@pytest.fixture
def cli(indexes: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Runs a command with a deterministic engine and its own folder of indexes; expects ``code`` as its end."""
    monkeypatch.setenv("ONEPASS_INDEXES__DIRECTORY", str(indexes))
    monkeypatch.setenv("ONEPASS_ENGINE__KIND", "fake")
    runner = CliRunner()

    def run(*arguments: str | Path, code: int = 0) -> Result:
        result = runner.invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    width = OUT.width
    OUT.width = 160
    yield run
    OUT.width = width


@pytest.fixture
def comparing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A default profile that ranks windows of passages."""
    monkeypatch.setenv("ONEPASS_RANKING__PROFILE", RANKING["profile"])
    monkeypatch.setenv("ONEPASS_RANKING__PROFILES_DIRECTORY", str(RANKING["profiles_directory"]))


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A small folder in the BEIR layout, with given lists and a run."""
    folder = tmp_path / "nature"
    (folder / "qrels").mkdir(parents=True)
    (folder / "runs").mkdir()
    documents = [{"_id": name, "title": title, "text": text} for name, (title, text) in PASSAGES.items()]
    write_lines(folder / "corpus.jsonl", documents)
    queries = {"q1": "what makes the sea rise", "q2": "how do bees make honey", "q3": "not judged"}
    write_lines(folder / "queries.jsonl", [{"_id": name, "text": text} for name, text in queries.items()])
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ttides\t2\nq2\thoney\t1\nq2\ttides\t0\n")
    (folder / "runs" / "odd_top2.tsv").write_text("q1\tbread\t9\nq1\ttides\t8\n")
    candidates = [document | {"score": 1.0} for document in documents]
    write_lines(folder / "candidates.jsonl", [{"query_id": "q2", "query": queries["q2"], "candidates": candidates}])
    return folder
