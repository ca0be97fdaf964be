"""From a record of a file, a mapping of names to values, to a ``Document``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from service.domain import Document

ID_KEYS = ("_id", "id")
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
OWN_KEYS = {*ID_KEYS, "text", "title", "metadata"}


def document_from(record: Mapping[str, Any]) -> Document:
    """The document a record describes; keys without a meaning of their own become metadata.

    A record without an id gets one from its content, so that it is the same in the next reading.

    Raises:
        ValueError: ``text`` is missing, or the id cannot be stored.
        TypeError: a value has the wrong type.
    """
    if "text" not in record:
        raise ValueError("no 'text'")
    text, title = _string(record, "text"), _string(record, "title")
    return Document(_id_of(record) or content_id(title, text), text, title, _metadata(record))


def content_id(title: str, text: str) -> str:
    """A stable id for a document that brings none: 16 hexadecimal digits of its content's hash."""
    content = f"{title}\0{text}".encode(errors="surrogatepass")
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _id_of(record: Mapping[str, Any]) -> str:
    value = next((record[key] for key in ID_KEYS if record.get(key) is not None), "")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise TypeError(f"the id must be a string or a whole number, not {type(value).__name__}")
    if _UNUSABLE.search(str(value)):
        raise ValueError(f"the id {value!r} holds a character that no encoding carries")
    return str(value)


def _string(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{key!r} must be a string, not {type(value).__name__}")
    return value


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    given = record.get("metadata") or {}
    if not isinstance(given, Mapping):
        raise TypeError(f"'metadata' must be an object, not {type(given).__name__}")
    return {key: value for key, value in record.items() if key not in OWN_KEYS} | dict(given)
