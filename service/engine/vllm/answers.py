"""Strict reading of JSON answers: a value is there and of its type, or the answer is an ``EngineProtocolError``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.engine.vllm.replica import ReplicaLost
from service.errors import EngineProtocolError


def member(value: Any, key: str) -> Any:
    """``value[key]`` of a JSON object.

    Raises:
        EngineProtocolError: it is no object, or has no such key.
    """
    if not isinstance(value, Mapping) or key not in value:
        raise EngineProtocolError(f"the answer has no {key!r} where one belongs")
    return value[key]


def array(value: Any, what: str) -> list[Any]:
    """A JSON array.

    Raises:
        EngineProtocolError: ``what`` is something else.
    """
    if not isinstance(value, list):
        raise EngineProtocolError(f"{what} is no array")
    return value


def number(value: Any, what: str) -> float:
    """A JSON number, NaN and infinities included: ``service.engine.scorer.checked`` refuses those.

    Raises:
        EngineProtocolError: ``what`` is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EngineProtocolError(f"{what} is no number")
    return float(value)


def completions(answer: Any, count: int) -> list[Mapping[str, Any]]:
    """The choices of a ``/v1/completions`` answer to ``count`` prompts, in their order.

    Raises:
        ReplicaLost: the server gave a prompt up, as it does when it shuts down.
        EngineProtocolError: a choice is missing, or there are others.
    """
    choices = in_order(member(answer, "choices"), count)
    if any(choice.get("finish_reason") == "abort" for choice in choices):
        raise ReplicaLost("the server gave the request up")
    return choices


def in_order(entries: Any, count: int) -> list[Mapping[str, Any]]:
    """Entries that each carry an ``index``, sorted by it; there must be exactly one for each of ``count`` prompts.

    Raises:
        EngineProtocolError: one is missing, or there twice, or there are others.
    """
    by_index = {_index(entry): entry for entry in array(entries, "the list of results")}
    if len(entries) != count or set(by_index) != set(range(count)):
        raise EngineProtocolError(f"{count} prompts were answered by {len(entries)} results, {sorted(by_index)}")
    return [by_index[index] for index in range(count)]


def _index(entry: Any) -> int:
    index = member(entry, "index")
    if type(index) is not int:
        raise EngineProtocolError("a result's index is no whole number")
    return index
