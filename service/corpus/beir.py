"""A folder in the BEIR layout: documents, queries and human judgements of which documents answer them.

    corpus.jsonl       {"_id", "title", "text", ...}
    queries.jsonl      {"_id", "text"}
    qrels/test.tsv     query id, document id, grade; also train.tsv, dev.tsv or any other name
    candidates.jsonl   {"query_id", "query", "candidates": [{"_id", "text", "title", "score"}]}   given lists to reorder
    runs/NAME.tsv      query id, document id, score                                               lists without texts

Any of them may be gzipped. The layout comes from "BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of
Information Retrieval Models" (Thakur et al., 2021).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from service.corpus.files import existing, json_objects, malformed, unreadable
from service.corpus.jsonl import JsonLines
from service.corpus.scored_pairs import scored_pairs
from service.domain import Document

CORPUS, QUERIES, QRELS, RUNS, CANDIDATES = "corpus.jsonl", "queries.jsonl", "qrels", "runs", "candidates.jsonl"

Queries = dict[str, str]
"""Query texts by id."""

Qrels = dict[str, dict[str, int]]
"""Grades by query id and document id; above 0 is relevant."""


@dataclass(frozen=True, slots=True)
class BeirFolder:
    """The documents of a folder in the BEIR layout, and what it knows about them."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    def count(self) -> int:
        """The lines of the corpus file."""
        return self._corpus().count()

    def documents(self) -> Iterator[Document]:
        """The corpus; see ``Source``."""
        return self._corpus().documents()

    def documents_with(self, ids: Collection[str]) -> dict[str, Document]:
        """Those documents of the corpus that have one of ``ids``, by id."""
        return {document.id: document for document in self.documents() if document.id in ids}

    def has_corpus(self) -> bool:
        """Whether there are documents to index."""
        return existing(self.path, CORPUS) is not None

    def queries(self) -> Queries:
        """Every query of the folder, of all splits.

        Raises:
            InvalidInput: there is no query file, or a line of it has no ``_id`` or ``text``.
        """
        path = self._part(QUERIES)
        return dict(_query(path, line, record) for line, record in json_objects(path))

    def qrels(self, name: str = "test.tsv") -> Qrels:
        """The judgements in ``qrels/name``; ``.tsv`` may be left out.

        Raises:
            InvalidInput: there is no such file, or a grade is not a whole number.
        """
        path = self._part(_with_suffix(name), QRELS)
        qrels: Qrels = {}
        for line, query_id, document_id, score in scored_pairs(path):
            if not score.is_integer():
                raise malformed(path, line, f"a grade must be a whole number, not {score}")
            qrels.setdefault(query_id, {})[document_id] = int(score)
        return qrels

    def run(self, name: str) -> dict[str, dict[str, float]]:
        """The lists in ``runs/name``, as scores by query id and document id; ``.tsv`` may be left out."""
        lists: dict[str, dict[str, float]] = {}
        for _, query_id, document_id, score in scored_pairs(self._part(_with_suffix(name), RUNS)):
            lists.setdefault(query_id, {})[document_id] = score
        return lists

    def candidates_file(self) -> Path | None:
        """The file of given lists, if the folder has one."""
        return existing(self.path, CANDIDATES)

    def _corpus(self) -> JsonLines:
        return JsonLines(self._part(CORPUS))

    def _part(self, name: str, folder: str = "") -> Path:
        parent = self.path / folder
        path = existing(parent, name)
        if path is None:
            there = ", ".join(sorted(found.name for found in parent.glob("*.*")))
            raise unreadable(parent / name, f"not found; there is: {there or 'nothing'}")
        return path


def _with_suffix(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".tsv") + ".tsv"


def _query(path: Path, line: int, record: dict[str, object]) -> tuple[str, str]:
    query_id, text = record.get("_id"), record.get("text")
    if not isinstance(query_id, (str, int)) or not isinstance(text, str):
        raise malformed(path, line, "a query needs an '_id' and a 'text'")
    return str(query_id), text
