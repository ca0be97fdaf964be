"""The prose of the OpenAPI document: about the whole, and about each group of endpoints. It lies in ``prose/``."""

from __future__ import annotations

from pathlib import Path

_PROSE = Path(__file__).parent / "prose"
_GROUPS = {"ranking": "ranking", "clients of others": "clients", "operations": "operations", "admin": "admin"}
"""The file of each tag, in the order in which they are described."""


def introduction() -> str:
    """What holds for every endpoint, as Markdown."""
    return _read("introduction")


def groups() -> list[dict[str, str]]:
    """Every tag with its description, as ``openapi_tags`` takes them."""
    return [{"name": tag, "description": _read(file)} for tag, file in _GROUPS.items()]


def _read(name: str) -> str:
    return (_PROSE / f"{name}.md").read_text(encoding="utf-8").strip()
