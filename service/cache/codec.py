"""Answers as bytes and back: compressed JSON behind a checksum that holds for one key only.

Whatever is not exactly what this module wrote under that key, a foreign value, one cut short or one of another
question, is refused; the cache then goes on as if nothing were there.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

from service.domain import Answer, Candidate, Document, Ranking, RelevantSpan, Result, Timings, WindowReading

_MARK = b"1P1\0"
_CHECKSUM = 16
_LEVEL = 1  # texts shrink to a third; higher levels take several times as long for a tenth less
_LARGEST = 64 * 2**20
"""Bytes a value may have once it is unpacked: a small value must not fill the memory."""


class ForeignValue(ValueError):
    """Bytes that ``encode`` did not make for this key."""


def encode(key: str, answer: Answer, *, documents: bool) -> bytes:
    """``answer`` without its timings; ``documents`` says whether it holds documents that its request does not."""
    ranking = answer.ranking
    body = {
        "index": answer.index,
        "version": answer.index_version,
        "candidates": [_packed(each) for each in answer.candidates] if documents else None,
        "results": [[each.rank, each.score, each.index] for each in answer.results],
        "order": ranking.order,
        "scores": ranking.scores,
        "ranked": [ranking.profile, ranking.model, ranking.strategy],
        "plan": [ranking.parameters, ranking.why],
        "cost": [ranking.prompts, ranking.rounds, ranking.prompt_tokens],
        "spans": [[[each.start, each.end, each.score] for each in spans] for spans in ranking.spans],
        "readings": [[each.round, each.window, each.logits] for each in ranking.readings],
    }
    packed = zlib.compress(json.dumps(body, separators=(",", ":")).encode(), _LEVEL)
    return _MARK + _checksum(key, packed) + packed


def decode(key: str, value: bytes, given: Sequence[Candidate] | None) -> Answer:
    """The answer, with the candidates that were ``given`` or those that were kept; its timings are zero.

    Raises:
        ForeignValue: these are not the bytes of an answer to this key.
    """
    start = len(_MARK) + _CHECKSUM
    packed = value[start:]
    if value[: len(_MARK)] != _MARK or value[len(_MARK) : start] != _checksum(key, packed):
        raise ForeignValue("not a value of this cache")
    try:
        return _answer(json.loads(_unpacked(packed)), given)
    except (ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
        raise ForeignValue("a value of another shape") from error


def _unpacked(packed: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    body = unpacking.decompress(packed, _LARGEST)
    if not unpacking.eof:
        raise ValueError("larger than any answer")
    return body


def _answer(body: dict[str, Any], given: Sequence[Candidate] | None) -> Answer:
    kept = body["candidates"]
    candidates = tuple(given or ()) if kept is None else tuple(_candidate(*each) for each in kept)
    profile, model, strategy = body["ranked"]
    parameters, why = body["plan"]
    prompts, rounds, prompt_tokens = body["cost"]
    return Answer(
        results=tuple(Result(rank, score, index, candidates[index]) for rank, score, index in body["results"]),
        candidates=candidates,
        ranking=Ranking(
            order=_order(body["order"], len(candidates)),
            scores=tuple(body["scores"]),
            profile=profile,
            model=model,
            strategy=strategy,
            prompts=prompts,
            rounds=rounds,
            prompt_tokens=prompt_tokens,
            spans=tuple(tuple(RelevantSpan(*each) for each in spans) for spans in body["spans"]),
            readings=tuple(WindowReading(n, tuple(window), tuple(logits)) for n, window, logits in body["readings"]),
            parameters=parameters,
            why=why,
        ),
        timings=Timings(0.0, 0.0, 0.0, 0.0),
        index=body["index"],
        index_version=body["version"],
    )


def _order(order: list[int], count: int) -> tuple[int, ...]:
    if sorted(order) != list(range(count)):
        raise ValueError("an order of other candidates")
    return tuple(order)


def _packed(candidate: Candidate) -> list[Any]:
    document = candidate.document
    place = candidate.rank, candidate.score, candidate.from_feedback
    return [document.id, document.title, document.text, document.metadata, *place]


def _candidate(name: str, title: str, text: str, metadata: dict[str, Any], *place: Any) -> Candidate:
    rank, score, from_feedback = place
    return Candidate(Document(name, text, title, metadata), rank, score, from_feedback=from_feedback)


def _checksum(key: str, packed: bytes) -> bytes:
    return hashlib.blake2b(packed, digest_size=_CHECKSUM, key=key.encode()[:64]).digest()
