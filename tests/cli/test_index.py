from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import PASSAGES, Cli, write_lines


def test_a_beir_folder_becomes_an_index_of_its_name(cli: Cli, beir: Path, indexes: Path) -> None:
    built = cli("index", "build", beir).output
    assert "4 passages in" in built
    assert (indexes / "nature" / "CURRENT").is_file()
    inspected = cli("index", "inspect", "nature").output
    assert "checksum that the manifest promises" in inspected
    assert "Bees make honey from nectar" in inspected


def test_an_index_may_be_inspected_by_its_path(cli: Cli, beir: Path, indexes: Path) -> None:
    cli("index", "build", beir, "--name", "renamed")
    assert "renamed" in cli("index", "inspect", indexes / "renamed").output


def test_the_other_readers_build_as_well(cli: Cli, tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "facts.jsonl", [{"text": text} for _, text in PASSAGES.values()])
    assert "4 passages" in cli("index", "build", lines).output
    table = tmp_path / "table.csv"
    table.write_text("text,title\nIron rusts.,Rust\n")
    assert "1 passage in" in cli("index", "build", table, "--factory", "Flat").output
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "long.md").write_text("# Counting\n" + " ".join(map(str, range(300))))
    assert "long.md#1" in "".join(
        cli(*command).output
        for command in (
            ("index", "build", tmp_path / "notes", "--chunk-tokens", "50", "--chunk-overlap", "10"),
            ("index", "inspect", "notes"),
        )
    )


def test_a_new_index_replaces_the_old_one(cli: Cli, beir: Path, tmp_path: Path) -> None:
    cli("index", "build", beir)
    one = write_lines(tmp_path / "one.jsonl", [{"text": "alone"}])
    cli("index", "build", one, "--name", "nature")
    assert "alone" in cli("index", "inspect", "nature").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jsonl"], "no such file or folder"),
        (["facts.jsonl", "--name", "../up"], "cannot be the name"),
        (["facts.jsonl", "--profile", "unheard-of"], "no profile of that name"),
        (["facts.jsonl", "--factory", "Nonsense,,"], "Nonsense"),
        (["twice.jsonl"], "occurs more than once"),
        (["broken.jsonl"], "broken.jsonl:2: not JSON"),
        (["empty.jsonl"], "at least one document"),
        (["notes", "--chunk-tokens", "20", "--chunk-overlap", "15"], "overlap of 15"),
    ],
)
def test_what_cannot_be_indexed_is_told_in_a_line(
    cli: Cli, tmp_path: Path, indexes: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "facts.jsonl", [{"text": "a fact"}])
    write_lines(tmp_path / "twice.jsonl", [{"id": "1", "text": "one"}, {"id": "1", "text": "two"}])
    (tmp_path / "broken.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "note.txt").write_text("a note")
    assert message in " ".join(cli("index", "build", *arguments, code=2).output.split())
    assert not list(indexes.glob("*/CURRENT"))


def test_a_damaged_index_is_refused(cli: Cli, beir: Path, indexes: Path) -> None:
    cli("index", "build", beir)
    (vectors,) = indexes.glob("nature/versions/*/vectors.faiss")
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    vectors.write_bytes(content)
    assert "differs from its checksum" in " ".join(cli("index", "inspect", "nature", code=2).output.split())


def test_an_index_that_is_not_there_is_named(cli: Cli) -> None:
    assert "there is no index at" in cli("index", "inspect", "nowhere", code=2).output
