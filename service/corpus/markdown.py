"""The sections of a Markdown file, each under the headings that lead to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
TITLE_SEPARATOR = " > "


class Section(NamedTuple):
    """Text under a heading; ``title`` joins the headings above it, such as ``Install > Linux``."""

    title: str
    text: str


def sections(markdown: str) -> Iterator[Section]:
    """The sections of ``markdown`` that hold text, in order. A ``#`` inside fenced code is no heading."""
    headings: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""
    for line in markdown.splitlines():
        fence = _fence_after(line, fence)
        heading = None if fence else HEADING.fullmatch(line)
        if heading is None:
            lines.append(line)
            continue
        yield from _section(headings, lines)
        level = len(heading[1])
        headings = [*(above for above in headings if above[0] < level), (level, heading[2])]
        lines = []
    yield from _section(headings, lines)


def _fence_after(line: str, fence: str) -> str:
    """The fence that is open after ``line``, given the one open before it; empty if none is."""
    found = FENCE.match(line)
    if found is None:
        return fence
    if not fence:
        return found[1]
    closes = found[1].startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence


def _section(headings: list[tuple[int, str]], lines: list[str]) -> Iterator[Section]:
    text = "\n".join(lines).strip()
    if text:
        yield Section(TITLE_SEPARATOR.join(heading for _, heading in headings), text)
