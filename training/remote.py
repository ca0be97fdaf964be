"""The two servers that can help to make training queries: a chat model that writes them, a reranker that grades them.

Calls that fail in passing are tried again, a bounded number of times. Errors of httpx become those of the service.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from service.domain import Document
from service.errors import EngineProtocolError, EngineRejected, EngineUnavailable
from service.retrieval.embedding.embedder import passage_text

ATTEMPTS, BACKOFF_S = 4, 1.0  # twice as long before each further attempt
TIMEOUT_S = 120.0
PASSAGE_CHARACTERS = 2000  # of a passage in a prompt
BEST = 3  # places of the teacher's order that count
NEARLY = 0.9  # of the first one's score

_PASSING = {408, 425, 429, 500, 502, 503, 504}

KINDS = ("a question", "a few keywords", "a statement to be checked")
INSTRUCTION = (
    "You write queries for a search engine. Read the passage and write one query of the kind asked for. Someone who has"
    " never seen the passage must be able to type it, and the passage must answer it. Name what it is about; never say"
    " 'the passage' or 'this text'. Use other words than the passage where you can. Answer with the query alone, on one"
    " line, with at most 20 words."
)
EXAMPLES = (
    (
        KINDS[0],
        "Sourdough rises more slowly in winter. At 18 °C the dough needs about twelve hours, at 26 °C about five.",
        "how long should bread dough ferment in a cold kitchen?",
    ),
    (
        KINDS[1],
        "The deposit is returned within 14 days after the keys are handed over, less the cost of any damage.",
        "rental deposit refund time",
    ),
    (
        KINDS[2],
        "In the trial, patients who walked 30 minutes a day had lower blood pressure after three months (p < 0.01).",
        "Daily walking reduces hypertension.",
    ),
)


def client(url: str, key: str | None) -> httpx.Client:
    """A client of the server at ``url`` that sends ``key`` as bearer token if there is one."""
    return httpx.Client(base_url=url, timeout=TIMEOUT_S, headers={"Authorization": f"Bearer {key}"} if key else {})


def posted(server: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """The JSON that the server answers.

    Raises:
        EngineUnavailable: it did not answer, or was busy, each time.
        EngineRejected: it refused the request.
        EngineProtocolError: its answer is not JSON.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(BACKOFF_S * 2 ** (attempt - 1))
        try:
            answer = server.post(path, json=body)
        except httpx.TransportError as error:
            trouble = repr(error)
            continue
        if answer.status_code in _PASSING:
            trouble = f"HTTP {answer.status_code}"
            continue
        if not answer.is_success:
            raise EngineRejected(f"{answer.url}: HTTP {answer.status_code}: {answer.text[:200]}")
        try:
            return answer.json()
        except ValueError as error:
            raise EngineProtocolError(f"{answer.url}: the answer is not JSON") from error
    raise EngineUnavailable(f"{server.base_url}{path}: no answer in {ATTEMPTS} attempts, last {trouble}")


@dataclass(frozen=True)
class Chat:
    """Writes a query for a passage with the chat model of an OpenAI-compatible ``server``."""

    server: httpx.Client
    model: str

    def __call__(self, document: Document, random: np.random.Generator) -> str:
        """One query, its kind and the model's seed drawn by ``random``; empty if the model refuses the passage.

        Raises:
            EngineUnavailable: the server does not answer.
            EngineProtocolError: its answer is not a chat completion.
        """
        kind = KINDS[int(random.integers(len(KINDS)))]
        body = {
            "model": self.model,
            "messages": messages(kind, passage_text(document)),
            "temperature": 0.7,
            "max_tokens": 64,
            "seed": int(random.integers(2**31)),
        }
        try:
            answer = posted(self.server, "chat/completions", body)
        except EngineRejected as error:
            print(f"passage {document.id} is left out: {error}")
            return ""
        try:
            return first_line(answer["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EngineProtocolError(f"{self.server.base_url}: not a chat completion: {answer!r:.200}") from error


def messages(kind: str, passage: str) -> list[dict[str, str]]:
    """The instruction, one example of each kind, and the passage."""
    turns = [{"role": "system", "content": INSTRUCTION}]
    for of_kind, text, query in EXAMPLES:
        turns += [{"role": "user", "content": _asked(of_kind, text)}, {"role": "assistant", "content": query}]
    return [*turns, {"role": "user", "content": _asked(kind, passage[:PASSAGE_CHARACTERS])}]


def first_line(answer: str) -> str:
    """The first line of an answer without quotation marks and a label before it."""
    line = answer.strip().partition("\n")[0].strip()
    return line.removeprefix("Query:").strip().strip("\"'`“”").strip()


def _asked(kind: str, passage: str) -> str:
    return f"Kind: {kind}\nPassage: {passage}"


@dataclass(frozen=True)
class Teacher:
    """Grades candidates with ``/v1/rerank`` of a running onepass, whose model is a larger one."""

    server: httpx.Client

    def grades(self, query: str, source: str, candidates: Sequence[Document]) -> dict[str, int]:
        """Grade 2 for the passage that the query was made of, 1 for others of the best three with nearly its score.

        Empty if ``source``, the id of that passage, is not among the best three.

        Raises:
            EngineError: the server does not answer, or not as it should.
        """
        documents = [{"title": each.title, "text": each.text} for each in candidates]
        body = {"query": query, "documents": documents, "top_n": BEST, "strict": True, "timeout_ms": 60_000}
        answer = posted(self.server, "/v1/rerank", body)
        try:
            best = [(candidates[each["index"]].id, float(each["score"])) for each in answer["results"][:BEST]]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise EngineProtocolError(
                f"{self.server.base_url}: not an answer of /v1/rerank: {answer!r:.200}"
            ) from error
        if source not in [name for name, _ in best]:
            return {}
        near = {name: 1 for name, score in best if score >= NEARLY * best[0][1]}
        return {**near, source: 2}
