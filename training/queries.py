"""Makes training queries for a corpus without judgements: ``python -m training.queries --help``.

Passages are taken in turn from k-means clusters of the dense encoder's vectors (DUQGen, arXiv 2404.02489), so that rare
topics are asked about too. Each gets one query: a language model's, with ``--url``, else its title, its most telling
words or its most telling sentence. With ``--teacher``, a running onepass orders BM25's candidates of each query. A
query is dropped if its own passage is not among the teacher's best three; the others of these three that score nearly
as high as the first count as relevant too.

FOLDER becomes a set in BEIR layout with ``qrels/train.tsv``, for ``training.tune`` and ``training.evidence``. The API
keys of the two servers are read from ``OPENAI_API_KEY`` and ``TEACHER_API_KEY``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from service.cli.building import chunking
from service.corpus.beir import CORPUS, QUERIES, Qrels
from service.corpus.detect import source_at
from service.corpus.files import unreadable
from service.domain import Document
from service.encoders.encoders import SHIPPED, Encoders
from service.errors import InvalidInput, OnepassError
from service.retrieval.embedding.embedder import passage_text
from service.settings import load
from training.collection import Collection, bm25
from training.remote import Chat, Teacher, client

FEWEST_WORDS = 8  # of a passage that is asked about
MOST_READ = 20_000  # passages that are clustered; of more, as many are drawn by the seed
CLUSTERS, CLUSTER_TOKENS = 100, 64
CLUSTER_QUERIES = 5  # the fewest of a cluster, where it holds as many passages
KEYWORDS = (2, 5)  # the fewest and the most
SENTENCE_WORDS = (5, 30)
QUERY_WORDS = 40  # the most of a language model's query
DEPTH = 20  # candidates that the teacher orders
CONCURRENCY = 8  # calls to a server at once

_WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

Ask = Callable[[Document, np.random.Generator], str]
"""Writes a query for a passage; empty if it has none."""


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return _WORD.findall(text.lower())


def is_copy(query: str, document: Document) -> bool:
    """Whether the query is the passage itself, or holds more than half as many words as it."""
    asked = words(query)
    return asked == words(document.text) or 2 * len(asked) > len(words(passage_text(document)))


class Extract:
    """Writes a query from the passage's own words. Words that few passages hold are telling."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._frequency: Counter[str] = Counter()
        for document in documents:
            self._frequency.update(set(words(passage_text(document))))
            self._frequency[""] += 1  # the number of documents

    def __call__(self, document: Document, random: np.random.Generator) -> str:
        """The title, the keywords or a sentence; the next kind where one is missing or copies the passage."""
        kinds = (self.title, self.keywords, self.sentence)
        tried = (kinds[kind](document, random) for kind in random.permutation(len(kinds)))
        return next((query for query in tried if query and not is_copy(query, document)), "")

    def title(self, document: Document, _: np.random.Generator) -> str:
        """The title; empty if there is none."""
        return document.title.strip()

    def keywords(self, document: Document, random: np.random.Generator) -> str:
        """The words of the passage with the highest tf-idf, in the order in which they first occur."""
        found = words(passage_text(document))
        counts = Counter(found)
        most = int(random.integers(KEYWORDS[0], KEYWORDS[1] + 1))
        best = sorted(counts, key=lambda word: -(1 + math.log(counts[word])) * self._idf(word))[:most]
        return " ".join(sorted(best, key=found.index))

    def sentence(self, document: Document, _: np.random.Generator) -> str:
        """The sentence with the highest mean tf-idf; empty if none is of a query's length.

        Words that occur once count nothing, as rare ones stand in references and figures.
        """
        fewest, most = SENTENCE_WORDS
        counts = Counter(words(passage_text(document)))

        def telling(sentence: str) -> float:
            return float(np.mean([math.log(counts[word]) * self._idf(word) for word in words(sentence)]))

        found = [each.strip() for each in _SENTENCE_END.split(document.text)]
        return max((each for each in found if fewest <= len(words(each)) <= most), key=telling, default="")

    def _idf(self, word: str) -> float:
        return math.log(self._frequency[""] / max(1, self._frequency[word]))


def spread(vectors: NDArray[np.float32], count: int, seed: int) -> list[int]:
    """At most ``count`` rows of ``vectors`` [passages, dimension], one of each cluster in turn."""
    clusters = min(CLUSTERS, -(-min(count, len(vectors)) // CLUSTER_QUERIES))
    kmeans = faiss.Kmeans(vectors.shape[1], clusters, nredo=5, seed=seed, spherical=True, min_points_per_centroid=1)
    kmeans.train(vectors)
    nearest = kmeans.index.search(vectors, 1)[1][:, 0]
    taken: Counter[int] = Counter()
    turns: list[tuple[int, int, int]] = []
    for row in np.random.default_rng(seed).permutation(len(vectors)):
        turns.append((taken[nearest[row]], len(turns), int(row)))
        taken[nearest[row]] += 1
    return [row for _, _, row in sorted(turns)[:count]]


def chosen(documents: Sequence[Document], encoders: Encoders, count: int, seed: int) -> list[Document]:
    """The passages to ask about."""
    drawn = np.random.default_rng(seed).permutation(len(documents))[:MOST_READ]
    usable = [documents[i] for i in sorted(drawn) if len(words(passage_text(documents[i]))) >= FEWEST_WORDS]
    if not usable:
        return []
    tokens = encoders.tokens([passage_text(document) for document in usable], CLUSTER_TOKENS)
    return [usable[row] for row in spread(encoders.dense(tokens), count, seed)]


def ask_all(ask: Ask, documents: Sequence[Document], seed: int) -> tuple[dict[str, str], Qrels]:
    """Queries and grades by query id. Copies of the passage, long queries and queries made before are left out."""
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        randoms = [np.random.default_rng([seed, place]) for place in range(len(documents))]
        texts = list(pool.map(ask, documents, randoms))
    queries: dict[str, str] = {}
    qrels: Qrels = {}
    for text, document in zip(texts, documents, strict=True):
        if text and text not in queries.values() and not is_copy(text, document) and len(words(text)) <= QUERY_WORDS:
            name = f"synthetic-{len(queries)}"
            queries[name], qrels[name] = text, {document.id: 1}
    return queries, qrels


def taught(teacher: Teacher, collection: Collection) -> Qrels:
    """The grades that the teacher gives, by id of the queries that it does not drop."""
    lists = bm25(collection, collection.queries, DEPTH)

    def grades(query: str) -> dict[str, int]:
        (source,) = collection.qrels[query]
        found = lists[query]
        names = found if source in found else [*found[: DEPTH - 1], source]
        return teacher.grades(collection.queries[query], source, [collection.corpus[name] for name in names])

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        return {query: found for query, found in zip(lists, pool.map(grades, lists), strict=True) if found}


def write(folder: Path, collection: Collection) -> None:
    """The set in BEIR layout, with the queries that have a grade. Metadata of the documents is left out."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    documents = ({"_id": each.id, "title": each.title, "text": each.text} for each in collection.corpus.values())
    _write_lines(folder / CORPUS, map(json.dumps, documents))
    asked = ({"_id": query, "text": collection.queries[query]} for query in collection.qrels)
    _write_lines(folder / QUERIES, map(json.dumps, asked))
    rows = [f"{query}\t{name}\t{grade}" for query, grades in collection.qrels.items() for name, grade in grades.items()]
    _write_lines(folder / "qrels" / "train.tsv", ["query-id\tcorpus-id\tscore", *rows])


def _write_lines(file: Path, lines: Iterable[str]) -> None:
    with file.open("w", encoding="utf-8") as opened:
        opened.writelines(f"{line}\n" for line in lines)


def make(asked: argparse.Namespace, environment: Mapping[str, str]) -> Collection:
    """Make and write the set that the command asks for.

    Raises:
        InvalidInput: the corpus cannot be read, no query can be made of it, or the target folder is not empty.
        EngineError: a server does not answer, or not as it should.
    """
    if asked.out.exists() and any(asked.out.iterdir()):
        raise unreadable(asked.out, "holds files already; name a new folder")
    source = source_at(asked.corpus, lambda: chunking(load()))
    corpus = {document.id: document for document in source.documents()}
    documents = list(corpus.values())
    with closing(Encoders(asked.encoders)) as encoders:
        passages = chosen(documents, encoders, asked.count, asked.seed)
    ask = Chat(client(asked.url, environment.get("OPENAI_API_KEY")), asked.model) if asked.url else Extract(documents)
    queries, qrels = ask_all(ask, passages, asked.seed)
    print(f"{len(queries)} queries for {len(passages)} passages of {len(corpus)}")
    if asked.teacher and queries:
        teacher = Teacher(client(asked.teacher, environment.get("TEACHER_API_KEY")))
        qrels = taught(teacher, Collection(corpus, queries, qrels))
        print(f"the teacher keeps {len(qrels)} of them")
    if not qrels:
        raise InvalidInput(f"{asked.corpus}: no query was made of it", field="corpus")
    made = Collection(corpus, queries, qrels)
    write(asked.out, made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the queries and tell what to do with them."""
    parser = argparse.ArgumentParser(
        prog="python -m training.queries", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", metavar="CORPUS", help="as for `onepass index build`")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    parser.add_argument("--count", type=int, default=2000, help="passages to ask about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--url", help="OpenAI-compatible server that writes the queries, up to and including /v1")
    parser.add_argument("--model", help="model name sent to that server")
    parser.add_argument("--teacher", metavar="URL", help="a running onepass, such as http://127.0.0.1:8000")
    parser.add_argument("--encoders", type=Path, default=SHIPPED, help="folder of encoders to cluster with")
    asked = parser.parse_args(arguments)
    if asked.count < 1 or bool(asked.url) != bool(asked.model):
        parser.error("--count must be above 0; --url and --model belong together")
    try:
        make(asked, os.environ)
    except OnepassError as error:
        parser.error(str(error))
    print(f"next: python -m training.tune {asked.out} --out TARGET")


if __name__ == "__main__":
    main()
