from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.commands import Cli


@pytest.mark.usefixtures("comparing")
def test_a_load_is_worked_out(cli: Cli) -> None:
    """A list of 20 is read in one window of 20 passages of 78 tokens: 1,560.

    Beside them a prompt holds 20 labels, 10 tokens of the template and the query twice, 16 tokens: 1,622 together.
    At 10 a second, half of them cached: 8,110 tokens a second.
    A server plans with half of 10,000: 2 of them. 2 gateways plan with half of 15 searches: 7.5 each.
    5 answers a second, kept for 100 s, of 20 * 80 tokens of 2.5 bytes each: 2 MB.
    """
    output = cli(
        "capacity", "10", "--candidates", "20", "--cached", "0.5", "--kept-s", "100", "--passage-tokens", "80",
        "--model-rate", "10000", "--gateway-rate", "15", "--utilisation", "0.5",
    ).output  # fmt: skip
    assert "1, 1,622 tokens together" in output
    assert shown(output) == {
        "rankings a second": "5.0",
        "prompt tokens a second": "8,110",
        "model servers": "2",
        "gateway processes": "2",
        "cache": "0.00 GB",
    }


def test_an_index_is_counted_by_its_kind(cli: Cli) -> None:
    """A million vectors of 256: inverted lists of 8-bit vectors, 264 bytes each, and 4,000 centroids of 1,024 bytes."""
    output = cli("capacity", "1", "--passages", "1000000", "--dimension", "256", "--passage-tokens", "100").output
    assert "IVF4000,SQ8, 0.27 GB" in output
    assert "1.80 GB for each gateway" in output


@pytest.mark.usefixtures("comparing")
def test_a_longer_passage_is_read_as_far_as_the_profile_says(cli: Cli) -> None:
    long, longest = (cli("capacity", "1", "--passage-tokens", tokens).output for tokens in ("80", "800"))
    assert shown(long)["prompt tokens a second"] == shown(longest)["prompt tokens a second"]


def test_passages_that_were_read_when_the_index_was_built_need_no_model_server(cli: Cli) -> None:
    output = cli("capacity", "50").output
    assert "100, 0 tokens together" in output
    assert "model servers" not in output
    assert shown(output)["gateway processes"] == "2"


def test_the_example_of_the_page_is_what_the_command_says(cli: Cli) -> None:
    page = (Path(__file__).parents[2] / "docs/scaling.md").read_text()
    ((command, told),) = re.findall(r"\$ onepass (capacity .*)\n([^`]*)```", page)
    said = cli(*command.split()).output
    assert [line.split() for line in said.splitlines()] == [line.split() for line in told.splitlines()]


def shown(output: str) -> dict[str, str]:
    """The lines that hold one figure."""
    return dict(re.findall(r"^ ([a-z ]+?)  +([\d.,]+(?: GB)?) *$", output, re.MULTILINE))
