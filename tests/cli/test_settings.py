from __future__ import annotations

from service.settings_reference import markdown, rows
from tests.cli.commands import Cli


def test_every_setting_is_shown(cli: Cli) -> None:
    output = cli("settings").output
    assert all(row.variable in output for row in rows())


def test_the_page_is_printed_as_it_is(cli: Cli) -> None:
    assert cli("settings", "--markdown").output == markdown()
