from __future__ import annotations

from pathlib import Path

from service.api.keys import KeyRing
from tests.cli.commands import Cli


def test_a_new_key_and_its_line_belong_together(cli: Cli, tmp_path: Path) -> None:
    made = cli("keys", "new", "frontend", "--tenant", "acme", "--index", "a", "--index", "b", "--per-minute", "60")
    key, line = made.stdout.splitlines()
    file = tmp_path / "keys.jsonl"
    file.write_text(line + "\n")

    grant = KeyRing(file, lambda _: None).find(key)

    assert grant is not None
    assert (grant.name, grant.tenant, grant.indexes, grant.per_minute) == ("frontend", "acme", ("a", "b"), 60)
    assert key not in line


def test_a_name_that_is_none_is_refused(cli: Cli) -> None:
    assert "name" in cli("keys", "new", "two words", code=2).output
