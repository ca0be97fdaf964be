from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Cli


@pytest.fixture
def searched(cli: Cli, beir: Path) -> Cli:
    cli("index", "build", beir)
    return cli


def test_results_come_with_rank_score_and_what_the_first_stage_thought(searched: Cli) -> None:
    output = searched("search", "how do bees make honey").output
    assert "Honey" in output
    assert "Bees make honey from nectar in their hive." in output
    assert "4 candidates from nature" in output
    assert "onepass-embedded, pointwise: 4 prompts in 1 rounds" in output


def test_the_first_stage_alone_puts_the_obvious_first(searched: Cli) -> None:
    output = searched("search", "bees honey", "--no-rerank", "--mode", "lexical", "--top-k", "1").output
    assert "Honey" in output
    assert "Tides" not in output
    assert "rounds" not in output


def test_brackets_in_a_passage_are_text(searched: Cli) -> None:
    assert "Iron turns [red] to rust" in searched("search", "iron rust").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([" "], "the query is empty"),
        (["bees", "--index", "unheard-of"], "no index of that name"),
        (["bees", "--strategy", "unheard-of"], "no strategy of that name"),
        (["bees", "--candidates", "100000"], "are allowed"),
        (["bees", "--top-k", "0"], "Invalid value"),
    ],
)
def test_what_cannot_be_answered_is_told_in_a_line(searched: Cli, arguments: list[str], message: str) -> None:
    assert message in searched("search", *arguments, code=2).output


def test_without_an_index_the_answer_says_so(cli: Cli) -> None:
    assert "name one of the indexes: none" in cli("search", "bees", code=2).output
