from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from loadtest.quality import Cell, main, tables
from loadtest.tiny_model import SERVED_WITH


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder that holds one small set in the BEIR layout."""
    folder = tmp_path / "nature"
    (folder / "qrels").mkdir(parents=True)
    (folder / "runs").mkdir()
    texts = {"honey": "Bees make honey.", "tides": "The moon pulls the sea.", "bread": "Yeast makes dough rise."}
    lines = [json.dumps({"_id": name, "text": text}) for name, text in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "bees"}\n{"_id": "q2", "text": "dough"}\n')
    (folder / "qrels" / "test.tsv").write_text("q1\thoney\t1\nq2\tbread\t1\n")
    run = "".join(f"{query}\t{name}\t{-place}\n" for query in ("q1", "q2") for place, name in enumerate(texts))
    (folder / "runs" / "bm25_test_top100.tsv").write_text(run)
    return tmp_path


def test_a_run_goes_on_where_it_was(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = data / "kept.jsonl"
    for name, value in ({"ONEPASS_ENGINE__KIND": "fake"} | SERVED_WITH).items():
        monkeypatch.setenv(name, value)
    arguments = ["quality", str(data), "--sets", "nature", "--kept", str(kept), "--strategies", "single"]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    first = kept.read_text()
    monkeypatch.setattr(sys, "argv", [*arguments, "cascade(sliding,single@2)"])
    main()

    assert kept.read_text().startswith(first)
    cells = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(cell["first_stage"], cell["strategy"]) for cell in cells] == [
        ("BM25", "first stage"),
        ("BM25", "single"),
        ("hybrid", "first stage"),
        ("hybrid", "single"),
        ("BM25", "cascade(sliding,single@2)"),
        ("hybrid", "cascade(sliding,single@2)"),
    ]
    assert [cell["prompts"] for cell in cells] == [0, 1, 0, 1, 2, 2]
    assert "| set | queries | list | first stage | single | cascade(sliding,single@2) |" in capsys.readouterr().out


def test_a_gain_of_every_query_has_a_star_and_luck_has_none() -> None:
    cells = [
        Cell("s", "BM25", "first stage", [0.4, 0.2, 0.5, 0.3, 0.6, 0.1], 0, 0, 0),
        Cell("s", "BM25", "sliding", [0.5, 0.3, 0.6, 0.4, 0.7, 0.2], 19, 19, 1000),
        Cell("s", "BM25", "single", [0.9, 0.1, 0.4, 0.3, 0.6, 0.1], 1, 1, 100),
    ]
    assert "| s | 6 | BM25 | .350 | .450* | .400 |" in tables(cells)
    assert "| s | BM25 | sliding | +0.100 | +0.100 to +0.100 | 0.0001 |" in tables(cells)
    assert "| sliding | 19 | 19 | 1,000 |" in tables(cells)
