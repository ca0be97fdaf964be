from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Cli

FIGURES = ("nDCG@10", "MRR@10", "recall@100", "p50 ms", "p95 ms")


def row(output: str, label: str) -> list[str]:
    """The cells of a table's row, without its label."""
    line = next(line for line in output.splitlines() if label in line and "│" in line)
    return [cell.strip() for cell in line.split("│")[2:-1]]


def test_first_stage_and_reranked_stand_side_by_side(cli: Cli, beir: Path) -> None:
    output = cli("evaluate", beir).output
    assert "nature: 2 queries" in output
    assert "hybrid first stage" in output
    assert "onepass-embedded, pointwise" in output
    assert all(len(row(output, figure)) == 3 for figure in FIGURES)
    assert row(output, "recall@100") == ["1.0000", "1.0000", "+0.0000"]


def test_both_orders_are_written_as_trec_runs(cli: Cli, beir: Path, tmp_path: Path) -> None:
    cli("evaluate", beir, "--mode", "lexical", "--run-out", tmp_path / "runs")
    for name in ("first_stage", "reranked"):
        rows = [line.split() for line in (tmp_path / "runs" / f"{name}.run").read_text().splitlines()]
        assert {len(fields) for fields in rows} == {6}
        assert {fields[0] for fields in rows} == {"q1", "q2"}
        assert next(fields[3] for fields in rows if fields[0] == "q1") == "1"


@pytest.mark.usefixtures("comparing")
def test_given_lists_are_reranked_without_an_index(cli: Cli, beir: Path) -> None:
    output = cli("evaluate", beir, "--given", "--strategy", "top_down").output
    assert "nature: 1 queries" in output
    assert "listwise, top_down" in output
    assert row(output, "p50 ms")[0] == ""


def test_a_run_of_another_first_stage_is_reranked(cli: Cli, beir: Path) -> None:
    output = cli("evaluate", beir, "--run", "odd_top2").output
    assert "odd_top2" in output
    assert row(output, "MRR@10")[0] == "0.5000"


def test_an_existing_index_is_searched_where_one_is_named(cli: Cli, beir: Path) -> None:
    cli("index", "build", beir, "--name", "kept")
    output = cli("evaluate", beir, "--index", "kept", "--limit", "1", "--concurrency", "2").output
    assert "nature: 1 queries" in output


def test_a_reranking_that_ran_out_of_time_is_told(cli: Cli, beir: Path) -> None:
    output = cli("evaluate", beir, "--given", "--timeout-ms", "1").output
    assert "1 of 1 queries were not reranked to the end" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--qrels", "dev"], "there is: test.tsv"),
        (["--run", "unheard-of"], "there is: odd_top2.tsv"),
        (["--index", "unheard-of"], "the default index unheard-of is not in"),
        (["--feedback", "--mode", "lexical"], "it needs a dense or hybrid search"),
        (["--feedback", "--mode", "sparse"], "it needs a dense or hybrid search"),
        (["--strategy", "unheard-of"], "no strategy of that name"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_line(cli: Cli, beir: Path, arguments: list[str], message: str) -> None:
    assert message in " ".join(cli("evaluate", beir, *arguments, code=2).output.split())


def test_a_folder_in_which_no_query_is_judged_is_refused(cli: Cli, beir: Path) -> None:
    (beir / "qrels" / "test.tsv").write_text("q9\ttides\t1\n")
    assert "none of the folder's queries is judged" in cli("evaluate", beir, code=2).output


def test_the_demo_questions_are_asked_of_the_standard_library(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEPASS_EMBEDDER__KIND", "static")  # the other kind takes minutes for a corpus
    output = cli("evaluate", "demo", "--limit", "2", "--candidates", "20").output
    assert "python-docs: 2 queries" in output


@pytest.mark.usefixtures("comparing")
def test_strategies_are_compared_with_the_first_of_them(cli: Cli, beir: Path) -> None:
    output = cli("evaluate", beir, "--compare", "sliding,single, listwise:top_down").output
    assert "nature: 2 queries" in output
    assert len(row(output, "single")) == 10
    assert row(output, "sliding")[2:5] == ["", "", ""]
    assert row(output, "listwise:top_down")[0] == "listwise"


@pytest.mark.usefixtures("comparing")
def test_a_report_and_a_curve_are_written(cli: Cli, beir: Path, tmp_path: Path) -> None:
    cli("evaluate", beir, "--given", "--compare", "sliding,single", "--curve", tmp_path / "curve.svg",
        "--html", tmp_path / "report.html", "--run-out", tmp_path)  # fmt: skip
    assert (tmp_path / "curve.svg").read_text().startswith("<svg")
    assert "Onepass on nature" in (tmp_path / "report.html").read_text()
    assert {path.name for path in tmp_path.glob("*.run")} == {"first_stage.run", "sliding.run", "single.run"}


def test_a_seed_draws_the_queries(cli: Cli, beir: Path, tmp_path: Path) -> None:
    for seed in ("1", "2", "3", "4", "5", "6"):
        cli("evaluate", beir, "--limit", "1", "--seed", seed, "--run-out", tmp_path / seed)
    drawn = {(tmp_path / seed / "reranked.run").read_text().split()[0] for seed in "123456"}
    assert drawn == {"q1", "q2"}


def test_recall_is_told_before_and_after_a_second_search(cli: Cli, beir: Path) -> None:
    output = cli("evaluate", beir, "--feedback", "--candidates", "1", "--mode", "dense").output
    before, after, _ = row(output, "recall@100")
    assert float(after) >= float(before)
