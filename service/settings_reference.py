"""The settings tree as a table, for ``onepass settings`` and ``docs/settings.md``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from service.settings import Section, Settings, variable


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting: the environment variable, its default as text, and what it is for."""

    variable: str
    default: str
    description: str


def rows() -> Iterator[SettingRow]:
    """Every setting, in the order of the tree."""
    for section_name, section_field in Settings.model_fields.items():
        section = section_field.default
        assert isinstance(section, Section)  # noqa: S101  the tree has no other kind of branch
        for name, field in type(section).model_fields.items():
            yield SettingRow(
                variable(section_name, name),
                _text(field.default),
                field.description or "",
            )


def markdown() -> str:
    """The page ``docs/settings.md``."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable. This page is what `onepass settings --markdown` prints.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
        *(f"| `{row.variable}` | {f'`{row.default}`' if row.default else ''} | {row.description} |" for row in rows()),
    ]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    match value:
        case None | () | "":
            return ""
        case dict():
            return json.dumps(value) if value else ""
        case bool():
            return str(value).lower()
        case Enum():
            return str(value.value)
        case _:
            return str(value)
