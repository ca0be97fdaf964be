"""Texts that try to lift a passage above its place: ``attacks.yaml``, and the passage that carries one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from service.domain import Document

FILE = Path(__file__).with_suffix(".yaml")
_QUERY = "{query}"


@dataclass(frozen=True, slots=True)
class Attack:
    """One trick of a ``family``; ``text`` holds ``{query}`` where the query goes, and is put ``times`` times."""

    family: str
    name: str
    text: str
    times: int = 1

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"

    @property
    def holds_query(self) -> bool:
        """Whether the query is part of it."""
        return _QUERY in self.text

    def spelt(self, query: str) -> str:
        """The text against one query."""
        return self.text.replace(_QUERY, query) * self.times

    def carried_by(self, passage: Document, query: str) -> Document:
        """``passage`` with the text before it: what stands behind a budget of tokens is never read."""
        return Document(passage.id, f"{self.spelt(query)} {passage.title} {passage.text}")


def attacks() -> list[Attack]:
    """All of them, in the order of the file."""
    families = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return [Attack(family, **fields) for family, members in families.items() for fields in members]
