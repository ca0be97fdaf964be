from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from service import __version__
from service.cli import app
from tests.cli.commands import Cli


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


ALL = dict(commands(typer.main.get_command(app)))


def test_these_are_the_commands() -> None:
    assert {" ".join(path) for path in ALL} == {
        "", "serve", "index", "index build", "index add", "index delete", "index publish", "index inspect",
        "search", "evaluate",
        "profiles", "profiles list", "profiles show", "profiles check", "profiles vllm-args", "profiles export-head",
        "keys", "keys new", "settings", "openapi", "capacity",
    }  # fmt: skip


@pytest.mark.parametrize("path", ALL)
def test_every_command_and_option_says_what_it_does(path: tuple[str, ...], cli: Cli) -> None:
    command = ALL[path]
    assert command.help
    assert all(getattr(parameter, "help", None) for parameter in command.params)
    assert "Usage" in cli(*path, "--help").output


def test_the_version_is_shown(cli: Cli) -> None:
    assert cli("--version").output == f"onepass {__version__}\n"


def test_a_setting_that_does_not_exist_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEPASS_SERVRE__PORT", "1")
    assert "ONEPASS_SERVRE__PORT" in cli("profiles", "list", code=2).output
