"""Lists of candidates that some other first stage found, given to be reordered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.corpus.beir import BeirFolder
from service.corpus.files import json_objects, malformed, unreadable
from service.corpus.records import document_from
from service.domain import Candidate, Document


@dataclass(frozen=True, slots=True)
class CandidateList:
    """What a first stage found for one query, best first."""

    query_id: str
    query: str
    candidates: tuple[Candidate, ...]


def given_lists(folder: BeirFolder, run: str | None = None) -> Iterator[CandidateList]:
    """The lists of ``runs/run``, or else of the folder's ``candidates.jsonl``.

    Raises:
        InvalidInput: there are no such lists, or they name a query or a document that the folder does not have.
    """
    if run is not None:
        yield from _from_run(folder, run)
        return
    path = folder.candidates_file()
    if path is None:
        raise unreadable(folder.path, "no candidates.jsonl here; name a run of its runs folder")
    for line, record in json_objects(path):
        try:
            yield _from_record(record)
        except (KeyError, TypeError, ValueError) as error:
            raise malformed(path, line, f"not a list of candidates: {error}") from error


def _from_record(record: dict[str, Any]) -> CandidateList:
    scored = [(document_from(given), float(given["score"])) for given in record["candidates"]]
    return CandidateList(str(record["query_id"]), str(record["query"]), _ranked(scored))


def _from_run(folder: BeirFolder, name: str) -> Iterator[CandidateList]:
    run, queries = folder.run(name), folder.queries()
    documents = folder.documents_with({document_id for scores in run.values() for document_id in scores})
    for query_id, scores in run.items():
        if query_id not in queries:
            raise unreadable(folder.path, f"run {name} ranks for query {query_id!r}, which is not among the queries")
        missing = next((document_id for document_id in scores if document_id not in documents), None)
        if missing is not None:
            raise unreadable(folder.path, f"run {name} names document {missing!r}, which the corpus does not have")
        scored = [(documents[document_id], score) for document_id, score in scores.items()]
        yield CandidateList(query_id, queries[query_id], _ranked(scored))


def _ranked(scored: list[tuple[Document, float]]) -> tuple[Candidate, ...]:
    """Candidates by falling score; equal scores keep the order given."""
    best_first = sorted(scored, key=lambda pair: -pair[1])
    return tuple(Candidate(document, rank, score) for rank, (document, score) in enumerate(best_first, 1))
