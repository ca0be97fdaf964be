"""The look of reports: one page of HTML that loads nothing, with its conditions, a table and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_STYLE = (
    "body{font:14px sans-serif;margin:2em;max-width:1400px}table{border-collapse:collapse}"
    "td,th{padding:2px 8px;border-bottom:1px solid #ddd;text-align:right}dt{font-weight:bold}svg{margin:8px}"
)


def document(
    title: str,
    facts: Mapping[str, str],
    note: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    plots: str,
) -> str:
    """The whole page; ``plots`` is HTML, everything else is text."""
    conditions = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1><dl>{conditions}</dl><p>{escape(note)}</p>"
        f"<table><tr>{head}</tr>{body}</table>{plots}</html>\n"
    )
