"""What is trained on: a folder in BEIR layout with ``qrels/train.tsv``, read as the service reads such folders."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from service.corpus.beir import BeirFolder, Qrels
from service.domain import Document
from service.retrieval import lexical

Lists = dict[str, list[str]]
"""Document ids by query id, best first."""


@dataclass(frozen=True)
class Collection:
    """Documents by id, query texts by id, and the grades of the train judgements."""

    corpus: Mapping[str, Document]
    queries: Mapping[str, str]
    qrels: Qrels

    def answerable(self) -> Qrels:
        """The positive grades of queries and documents that are in the collection."""
        found: Qrels = {}
        for query, grades in self.qrels.items():
            relevant = {name: grade for name, grade in grades.items() if grade > 0 and name in self.corpus}
            if relevant and query in self.queries:
                found[query] = relevant
        return found


def read_collection(folder: Path) -> Collection:
    """The collection in ``folder``. Other judgements than those of ``train`` are never read.

    Raises:
        InvalidInput: a file is missing or malformed.
    """
    beir = BeirFolder(folder)
    return Collection({document.id: document for document in beir.documents()}, beir.queries(), beir.qrels("train"))


def bm25(collection: Collection, queries: Iterable[str], depth: int) -> Lists:
    """The ``depth`` best documents of each query by the service's full-text search.

    Documents without a word of the query come last, in the order of the corpus.
    """
    names, lists = list(collection.corpus), {}
    with closing(sqlite3.connect(":memory:")) as index:
        index.execute(lexical.SCHEMA)
        lexical.insert(index, ((row, each.title, each.text) for row, each in enumerate(collection.corpus.values())))
        for query in queries:
            found = [names[row] for row, _ in lexical.search(index, collection.queries[query], depth)]
            others = (name for name in names if name not in found)
            lists[query] = [*found, *islice(others, depth - len(found))]
    return lists
