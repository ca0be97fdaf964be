"""The texts the embedder learns from: BEIR-layout folders and the documentation of Python's standard library."""

from dataclasses import dataclass, field
from pathlib import Path

from service.corpus.stdlib_docs import StdlibDocs
from service.retrieval.embedding.embedder import passage_text
from training.collection import read_collection


@dataclass(frozen=True)
class TextSet:
    """Passages of one source and, where it has judgements to learn from, (query, relevant passage) pairs."""

    name: str
    passages: list[str]
    queries: list[str] = field(default_factory=list)
    pairs: list[tuple[int, int]] = field(default_factory=list)


def read_text_set(folder: Path) -> TextSet:
    """A folder's corpus with its ``train`` judgements; other splits are never read."""
    collection = read_collection(folder)
    row_of = {name: row for row, name in enumerate(collection.corpus)}
    judged = collection.answerable()
    pairs = [(number, row_of[name]) for number, grades in enumerate(judged.values()) for name in grades]
    passages = [passage_text(document) for document in collection.corpus.values()]
    return TextSet(folder.name, passages, [collection.queries[query] for query in judged], pairs)


def standard_library() -> TextSet:
    """The documentation of the running Python: text about code, without queries."""
    return TextSet(StdlibDocs.name, [passage_text(document) for document in StdlibDocs().documents()])
