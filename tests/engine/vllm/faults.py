"""What a server may do wrong while it scores, and the error that each must become."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from service.errors import EngineError, EngineProtocolError, EngineUnavailable
from tests.engine.vllm.stand_in import Fault, Reply


def replying(body: bytes = b"", status: int = 200, promised: int | None = None) -> Fault:
    return lambda _: Reply(body, status, promised)


def spoiling(spoil: Callable[[Any], None]) -> Fault:
    """A good answer in which ``spoil`` changed something."""

    def reply(answer: Any) -> Reply:
        answer = copy.deepcopy(answer)
        spoil(answer)
        return Reply(json.dumps(answer).encode())

    return reply


def hang(_: Any) -> Reply:
    return Reply(hang=True)


def half_a_body(answer: Any) -> Reply:
    whole = json.dumps(answer).encode()
    return Reply(whole[: len(whole) // 2], promised=len(whole))


def _value(value: Any) -> Callable[[Any], None]:
    def spoil(answer: Any) -> None:
        if "choices" in answer:
            answer["choices"][0]["logprobs"]["top_logprobs"][0]["token_id:101"] = value
        else:
            answer["data"][0]["data"][1] = value

    return spoil


def _results(answer: Any) -> list[Any]:
    found: list[Any] = answer["choices"] if "choices" in answer else answer["data"]
    return found


def _drop_label(answer: Any) -> None:
    if "choices" in answer:
        del answer["choices"][0]["logprobs"]["top_logprobs"][0]["token_id:101"]
    else:
        del answer["data"][0]["data"][1]


def _repeat_index(answer: Any) -> None:
    _results(answer)[-1]["index"] = 0


def _odd_index(answer: Any) -> None:
    _results(answer)[0]["index"] = [0]


def _no_index(answer: Any) -> None:
    del _results(answer)[0]["index"]


def _empty(answer: Any) -> None:
    _results(answer).clear()


def _one_more(answer: Any) -> None:
    _results(answer).append({**_results(answer)[0], "index": 9})


def _twice(answer: Any) -> None:
    """Every result is there, and one of them once more: which of the two is meant?"""
    _results(answer).append(_results(answer)[0])


def _one_less(answer: Any) -> None:
    _results(answer).pop()


def _abort(answer: Any) -> None:
    """What vLLM answers to what it holds when it shuts down."""
    if "choices" in answer:
        answer["choices"][0].update(finish_reason="abort", logprobs=None)
    else:
        answer["model"] = "another"


def _other_model(answer: Any) -> None:
    answer["model"] = "another"


FAULTS: Mapping[str, tuple[Fault, type[EngineError]]] = {
    "500": (replying(b"oops", 500), EngineUnavailable),
    "502": (replying(b"<html>", 502), EngineUnavailable),
    "503": (replying(b'{"error": {"message": "queue full"}}', 503), EngineUnavailable),
    "429": (replying(b"{}", 429), EngineUnavailable),
    "404": (replying(b"{}", 404), EngineUnavailable),
    "401": (replying(b"{}", 401), EngineUnavailable),
    "302": (replying(b"", 302), EngineProtocolError),
    "204": (replying(b"", 204), EngineProtocolError),
    "half a body": (half_a_body, EngineUnavailable),
    "no answer": (lambda _: Reply(raw=b""), EngineUnavailable),
    "not HTTP": (lambda _: Reply(raw=b"ok 1 2 3\r\n\r\n"), EngineUnavailable),
    "no body": (replying(b""), EngineProtocolError),
    "not JSON": (replying(b"[B] > [A] > [C]"), EngineProtocolError),
    "not text": (replying(b"\xff\xfe\xff"), EngineProtocolError),
    "a JSON number": (replying(b"7"), EngineProtocolError),
    "an error as an answer": (replying(b'{"error": "try 3 of 7", "model": "mini"}'), EngineProtocolError),
    "NaN": (spoiling(_value(math.nan)), EngineProtocolError),
    "infinity": (spoiling(_value(-math.inf)), EngineProtocolError),
    "null": (spoiling(_value(None)), EngineProtocolError),
    "a string": (spoiling(_value("1.5")), EngineProtocolError),
    "true": (spoiling(_value(True)), EngineProtocolError),
    "a missing label": (spoiling(_drop_label), EngineProtocolError),
    "fewer results": (spoiling(_one_less), EngineProtocolError),
    "more results": (spoiling(_one_more), EngineProtocolError),
    "a result twice": (spoiling(_twice), EngineProtocolError),
    "no results": (spoiling(_empty), EngineProtocolError),
    "a repeated index": (spoiling(_repeat_index), EngineProtocolError),
    "an odd index": (spoiling(_odd_index), EngineProtocolError),
    "no index": (spoiling(_no_index), EngineProtocolError),
    "given up": (spoiling(_abort), EngineUnavailable),
    "another model's answer": (spoiling(_other_model), EngineUnavailable),
}
