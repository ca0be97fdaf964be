"""Full-text retrieval: SQLite's FTS5 with BM25 over titles, texts and the parts of camel-case names.

Words are stemmed (Porter) and stripped of accents. A query's words are quoted one by one and joined by OR, so nothing
in a query can reach FTS5's own syntax and a long question needs no word to match in particular; BM25 decides which
matter.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence

SCHEMA = """
CREATE VIRTUAL TABLE passages USING fts5(
    title, text, names, content='', tokenize="porter unicode61 remove_diacritics 2"
)
"""

_WORD = re.compile(r"[^\W_]+")
_CASE_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MIXED_CASE = re.compile(r"[A-Za-z0-9]*[a-z0-9][A-Z][A-Za-z0-9]*|[A-Z]{2,}[a-z][A-Za-z0-9]*")
_TITLE_WEIGHT, _TEXT_WEIGHT, _NAMES_WEIGHT = 2.0, 1.0, 0.5  # chosen on train splits; nearby values differ little
_MAX_TERMS = 128

# Function words: in nearly every passage, so BM25 gives them nothing and reading their long postings costs most of the
# time. They are left out unless a query has no other word.
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be been but by can could did do does for from had has have how i if in into is it its me
        my of on or our shall should so than that the their them then there these they this those to us was we were
        what when where which who whom whose why will with would you your""",
    )
)


def insert(connection: sqlite3.Connection, rows: Iterable[tuple[int, str, str]]) -> None:
    """Index documents, each given as row number, title and text."""
    connection.executemany(
        "INSERT INTO passages(rowid, title, text, names) VALUES (?, ?, ?, ?)",
        ((row, _normal(title), _normal(text), " ".join(name_parts(f"{title} {text}"))) for row, title, text in rows),
    )


def search(connection: sqlite3.Connection, query: str, count: int) -> list[tuple[int, float]]:
    """Row numbers with BM25 scores (higher is better), best first; empty when the query holds no word."""
    expression = match_expression(query)
    if expression is None:
        return []
    found = connection.execute(
        "SELECT rowid, -bm25(passages, ?, ?, ?) AS score FROM passages WHERE passages MATCH ?"
        " ORDER BY score DESC, rowid LIMIT ?",
        (_TITLE_WEIGHT, _TEXT_WEIGHT, _NAMES_WEIGHT, expression, count),
    )
    return [(int(row), float(score)) for row, score in found]


def match_expression(query: str) -> str | None:
    """The FTS5 expression for a query: its distinct words, quoted, joined by OR. None if it has no word."""
    words = list(dict.fromkeys(word.lower() for word in _words_and_parts(_normal(query))))
    telling = [word for word in words if word not in _FUNCTION_WORDS] or words
    return " OR ".join(f'"{word}"' for word in telling[:_MAX_TERMS]) or None


def name_parts(text: str) -> list[str]:
    """The parts of every mixed-case name in a text: ``csv.DictReader`` gives ``Dict`` and ``Reader``."""
    return [part for name in _MIXED_CASE.findall(text) for part in _parts(name)]


def _words_and_parts(query: str) -> Sequence[str]:
    words: list[str] = []
    for word in _WORD.findall(query):
        words.append(word)
        if _MIXED_CASE.fullmatch(word):
            words.extend(_parts(word))
    return words


def _parts(name: str) -> list[str]:
    return [part for part in _CASE_PARTS.findall(name) if len(part) > 1]


def _normal(text: str) -> str:
    """One spelling for what Unicode spells in several ways; combined accents are what FTS5 knows how to strip."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)
