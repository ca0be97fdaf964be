"""Passages on a terminal."""

from __future__ import annotations

SNIPPET_CHARS = 160


def snippet(text: str, chars: int = SNIPPET_CHARS) -> str:
    """The beginning of ``text`` on one line, without control characters, cut at a word."""
    line = "".join(character if character.isprintable() else " " for character in text[: 2 * chars])
    line = " ".join(line.split())
    if len(line) <= chars:
        return line
    return line[:chars].rpartition(" ")[0].rstrip(" ,.;:") + " …"
