from __future__ import annotations

from pathlib import Path

import pytest

from service.retrieval import index_store
from tests.cli.commands import Cli, write_lines

MOSS = {"id": "moss", "title": "Moss", "text": "Moss grows where it is damp."}


@pytest.fixture
def moss(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "moss.jsonl", [MOSS])


@pytest.fixture(autouse=True)
def nature(cli: Cli, beir: Path) -> None:
    """The index that is changed."""
    cli("index", "build", beir)


def passages(cli: Cli) -> str:
    return cli("search", "moss damp bees honey", "--index", "nature", "--no-rerank").output


def test_what_is_added_is_acknowledged_and_found(cli: Cli, moss: Path) -> None:
    output = cli("index", "add", "nature", moss).output
    assert output.index("acknowledged: 1 added, 0 replaced, 0 deleted") < output.index("nature is at version")
    assert "5 passages" in output
    assert "Moss grows" in passages(cli)


def test_several_files_are_added_together_and_replace_what_has_their_ids(cli: Cli, moss: Path, tmp_path: Path) -> None:
    honey = tmp_path / "honey.csv"
    honey.write_text("id,text\nhoney,Bees make it from what they collect.\n")
    assert "acknowledged: 1 added, 1 replaced, 0 deleted" in cli("index", "add", "nature", moss, honey).output
    assert "Bees make it" in passages(cli)


def test_what_is_deleted_is_not_found_and_what_is_not_there_is_told(cli: Cli) -> None:
    output = cli("index", "delete", "nature", "honey", "nowhere").output
    assert "acknowledged: 0 added, 0 replaced, 1 deleted" in output
    assert "nowhere is not there" in output
    assert "Honey" not in passages(cli)


def test_deferred_changes_wait_for_publish(cli: Cli, moss: Path) -> None:
    assert "1 changes wait" in cli("index", "add", "nature", moss, "--defer").output
    assert "2 changes wait" in cli("index", "delete", "nature", "honey", "--defer").output
    assert "changes to publish  2" in cli("index", "inspect", "nature").output
    assert "Honey" in passages(cli)
    assert "4 passages" in cli("index", "publish", "nature").output
    assert "changes to publish  0" in cli("index", "inspect", "nature").output
    assert "Honey" not in passages(cli)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"title": "no text"}', "bad.jsonl:2: no 'text'"),
        ('{"text": 3}', "bad.jsonl:2: 'text' must be a string"),
        ('{"id": true, "text": "a"}', "bad.jsonl:2: the id must be a string"),
        ('{"id": "\\u0000", "text": "a"}', "bad.jsonl:2: the id"),
        ('{"text": "a", "metadata": [1]}', "bad.jsonl:2: 'metadata' must be an object"),
        ('{"text": "a", "weight": NaN}', "bad.jsonl:2: not JSON: NaN"),
        ('{"text": ', "bad.jsonl:2: not JSON"),
    ],
)
def test_bad_input_is_named_by_file_line_and_field_and_adds_nothing(
    cli: Cli, moss: Path, tmp_path: Path, line: str, message: str
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(f'{{"text": "fine"}}\n{line}\n')
    output = " ".join(cli("index", "add", "nature", moss, bad, code=2).output.split())
    assert message in output
    assert "acknowledged" not in output
    assert "changes to publish  0" in cli("index", "inspect", "nature").output


def test_what_cannot_be_changed_is_told_in_a_line(cli: Cli, moss: Path) -> None:
    assert "there is no index at" in cli("index", "add", "nowhere", moss, code=2).output
    assert "cannot be the name" in cli("index", "delete", "../nature", "honey", code=2).output
    everything = ("tides", "honey", "bread", "rust")
    assert "no document would be left" in cli("index", "delete", "nature", *everything, code=2).output


def test_a_second_writer_is_told_so(cli: Cli, moss: Path, indexes: Path) -> None:
    with index_store.locked(indexes / "nature"):
        output = " ".join(cli("index", "add", "nature", moss, code=2).output.split())
    assert "another build or change of" in output
