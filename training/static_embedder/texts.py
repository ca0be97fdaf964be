"""The texts the embedder learns from: BEIR-layout folders and the documentation of Python's standard library."""

from dataclasses import dataclass, field
from pathlib import Path

from service.corpus.stdlib_docs import StdlibDocs
from training.beir import read_corpus, read_qrels, read_queries


@dataclass(frozen=True)
class TextSet:
    """Passages of one source and, where it has judgements to learn from, (query, relevant passage) pairs."""

    name: str
    passages: list[str]
    queries: list[str] = field(default_factory=list)
    pairs: list[tuple[int, int]] = field(default_factory=list)


def read_text_set(folder: Path) -> TextSet:
    """A folder's corpus with its ``train`` judgements; other splits are never read."""
    corpus, queries = read_corpus(folder), read_queries(folder)
    qrels = read_qrels(folder / "qrels" / "train.tsv")
    row_of = {name: row for row, name in enumerate(corpus)}
    judged = [name for name in qrels if name in queries]
    pairs = [
        (number, row_of[document])
        for number, name in enumerate(judged)
        for document, grade in qrels[name].items()
        if grade > 0 and document in row_of
    ]
    return TextSet(folder.name, list(corpus.values()), [queries[name] for name in judged], pairs)


def standard_library() -> TextSet:
    """The documentation of the running Python: text about code, without queries."""
    return TextSet(StdlibDocs.name, [f"{document.title} {document.text}" for document in StdlibDocs().documents()])
