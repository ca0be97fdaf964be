"""The OpenAPI document as a page for people, for ``onepass openapi`` and ``docs/api.md``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_Schema = dict[str, Any]
_PAGE = re.compile(r"`docs/(\w+)\.md`")


def markdown(document: dict[str, Any]) -> str:
    """The page ``docs/api.md``: prose, endpoints by group, and what each status means."""
    page = _Page(document["components"]["schemas"])
    lines = ["# API", "", "This page is what `onepass openapi --markdown` prints.", "", document["info"]["description"]]
    for tag in document["tags"]:
        lines += ["", f"## {tag['name'].capitalize()}", "", tag["description"]]
        for name, operation in _operations(document, tag["name"]):
            lines += ["", f"### `{name}`", "", *page.operation(name, operation)]
    lines += ["", "## Statuses", "", *_table("status | when", _statuses(document))]
    return _PAGE.sub(r"[\1](\1.md)", "\n".join(lines)) + "\n"


class _Page:
    """Writes operations; ``schemas`` are those that the document refers to. What was told once is referred to."""

    def __init__(self, schemas: dict[str, _Schema]) -> None:
        self._schemas = schemas
        self._told: dict[str, str] = {}

    def operation(self, name: str, operation: dict[str, Any]) -> Iterator[str]:
        """What an operation does, takes and gives."""
        yield f"{operation['summary']}. {operation.get('description', '')}".strip().replace("``", "`")
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            yield from self._bodies("Body", body["schema"], name)
            yield from _example(next(iter(body["examples"].values())))
        success = operation["responses"]["200"].get("content", {}).get("application/json")
        if success is not None:
            yield from self._bodies("Answer", success["schema"], name)
        others = [status for status in operation["responses"] if status != "200"]
        if others:
            yield from ("", f"Other statuses: {', '.join(sorted(others))}.")

    def _bodies(self, what: str, schema: _Schema, operation: str) -> Iterator[str]:
        """A table for each form that a body may have."""
        for form in _alternatives(schema):
            item = self._resolved(form.get("items", form))
            several = ", a list" if "items" in form else ""
            meaning = item.get("description", "").partition("\n")[0].replace("``", "`")
            yield from ("", f"{what}{several}: {meaning}".rstrip(": "))
            told_at = self._told.setdefault(str(form), operation)
            rows = list(self._rows(item))
            if told_at != operation:
                yield from ("", f"The same as at `{told_at}`.")
            elif rows:
                yield from ("", *_table("field | type | default | meaning", rows))

    def _rows(self, schema: _Schema, prefix: str = "") -> Iterator[str]:
        """A row for each field of an object, and for the fields of objects in it."""
        for name, field in schema.get("properties", {}).items():
            default = json.dumps(field["default"]) if field.get("default") is not None else ""
            code = f"`{default}`" if default and default != "{}" else ""
            meaning = " ".join(field.get("description", "").split())
            yield f"`{prefix}{name}` | {self._kind(field)} | {code} | {meaning}"
            for alternative in _alternatives(field):
                inner = self._resolved(alternative.get("items", alternative))
                yield from self._rows(inner, f"{prefix}{name}{'[]' if 'items' in alternative else ''}.")

    def _kind(self, schema: _Schema) -> str:
        """What a value may be, in words."""
        return " or ".join(dict.fromkeys(self._word(alternative) for alternative in _alternatives(schema)))

    def _word(self, schema: _Schema) -> str:
        resolved = self._resolved(schema)
        if "enum" in resolved or "const" in resolved:
            return ", ".join(f"`{value}`" for value in resolved.get("enum") or [resolved["const"]])
        if "items" in resolved:
            return f"list of {self._kind(resolved['items'])}"
        word = _WORDS.get(resolved.get("type", ""), "anything")
        bounds = [f"{name} {resolved[key]:g}" for key, name in _BOUNDS.items() if key in resolved]
        return " ".join([word, *bounds])

    def _resolved(self, schema: _Schema) -> _Schema:
        reference = schema.get("$ref")
        return schema if reference is None else self._schemas[reference.rpartition("/")[2]]


_WORDS = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "object": "object",
    "null": "null",
}
_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}


def _alternatives(schema: _Schema) -> list[_Schema]:
    """The forms that a value may have, unions in unions as one."""
    forms = schema.get("oneOf") or schema.get("anyOf")
    return [schema] if forms is None else [inner for form in forms for inner in _alternatives(form)]


def _example(example: dict[str, Any]) -> Iterator[str]:
    value = json.dumps(example["value"], indent=2, ensure_ascii=False)
    yield from ("", f"{example['summary']}:", "", "```json", *value.splitlines(), "```")


def _operations(document: dict[str, Any], tag: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation of a tag, by its method and path."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield f"{method.upper()} {path}", operation


def _statuses(document: dict[str, Any]) -> list[str]:
    told = {
        status: response["description"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        if status >= "400"
    }
    return [f"{status} | {description}" for status, description in sorted(told.items())]


def _table(head: str, rows: list[str]) -> list[str]:
    columns = head.count("|") + 1
    return [f"| {head} |", "|" + "---|" * columns, *(f"| {row} |" for row in rows)]
