"""Prepares the training collections: chunks, token ids, teacher vectors and mined hard negatives.

A long document becomes up to ``max_chunks`` passages. Each passage gets the teacher's vector, so any window's teacher
scores are one small product later. Hard negatives are the best passages of BM25 and of the teacher that do not come
from a relevant document. Only ``train`` judgements are read, and the source of no synthetic pair is relevant to a test
query.

usage: python -m training.data --data DIR --encoder DIR --tokenizer DIR --out DIR
"""

import argparse
import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from service.deadline import Deadline
from service.retrieval.embedding.builtin import StaticEmbedder
from training.beir import Qrels, read_corpus, read_jsonl, read_qrels, read_queries
from training.bm25 import BM25
from training.encoder import Encoder
from training.settings import DataSettings, load_settings
from training.strange import STRANGE, save_strange

_DENSE = ("passage_vectors", "query_vectors", "hard", "passage_places", "query_places")
_PARAGRAPH_WORDS, _PARAGRAPH_STEP = 60, 2  # sentences: a paragraph begins at every second one
_DOCSTRING = re.compile(r"\s*[rRuU]?(\"\"\"|''')(.*?)\1", re.DOTALL)


@dataclass(frozen=True)
class Source:
    """One collection before preparation: documents, queries and which documents answer which query."""

    corpus: dict[str, str]
    queries: dict[str, str]
    relevant: Qrels


@dataclass(frozen=True)
class Collection:
    """One prepared collection; ragged arrays are flat with offsets."""

    passages: list[NDArray[np.int32]]
    queries: list[NDArray[np.int32]]
    passage_vectors: NDArray[np.float16]
    query_vectors: NDArray[np.float16]
    gold: list[NDArray[np.int32]]
    hard: NDArray[np.int32]
    """[queries, 2 * mined] passage indices: BM25's list, then the teacher's; -1 where there is none."""
    passage_places: NDArray[np.float16]
    query_places: NDArray[np.float16]
    """The static embedder's vectors: they order a window as a first stage would."""
    own: int = 0
    """From this passage on they are of no collection: see ``strange.py``."""


def read_source(folder: Path) -> Source:
    """A collection with its training judgements."""
    return Source(read_corpus(folder), read_queries(folder), read_qrels(folder / "qrels" / "train.tsv"))


def tested_documents(folder: Path) -> set[str]:
    """Documents relevant to a test query: kept out of synthetic pairs."""
    return {document for documents in read_qrels(folder / "qrels" / "test.tsv").values() for document in documents}


def docstring_source(folder: Path) -> Source:
    """A function's docstring's first line asks for the function without its docstring."""
    tested = tested_documents(folder)
    corpus, queries = {}, {}
    for name, text in read_corpus(folder).items():
        match = _DOCSTRING.search(text)
        if name in tested or match is None:
            continue
        asked = next((line.strip() for line in match.group(2).splitlines() if line.strip()), "")
        rest = text[: match.start()] + text[match.end() :]
        if 3 <= len(asked.split()) <= 25 and len(rest) > 40:
            corpus[name], queries[name] = rest, asked
    return Source(corpus, queries, {name: {name: 1} for name in queries})


def title_source(folder: Path) -> Source:
    """An article's title asks for its abstract."""
    tested = tested_documents(folder)
    records = [
        record for record in read_jsonl(folder / "corpus.jsonl.gz") if record["_id"] not in tested and record["title"]
    ]
    queries = {record["_id"]: record["title"] for record in records}
    return Source({record["_id"]: record["text"] for record in records}, queries, {name: {name: 1} for name in queries})


def paragraph_source(folder: Path) -> Source:
    """Neighbouring sentences of a set of sentences, joined to paragraphs."""
    tested, corpus = tested_documents(folder), read_corpus(folder)
    names = [name for name in corpus if name not in tested]
    paragraphs: dict[str, str] = {}
    holding: dict[str, list[str]] = {}
    for start in range(0, len(names), _PARAGRAPH_STEP):
        text, end = "", start
        while end < len(names) and len(text.split()) < _PARAGRAPH_WORDS:
            text, end = f"{text} {corpus[names[end]]}".strip(), end + 1
        paragraphs[f"p{start}"] = text
        for name in names[start:end]:
            holding.setdefault(name, []).append(f"p{start}")
    relevant = {
        query: {paragraph: 1 for document in documents for paragraph in holding.get(document, ())}
        for query, documents in read_qrels(folder / "qrels" / "train.tsv").items()
    }
    return Source(paragraphs, read_queries(folder), {query: found for query, found in relevant.items() if found})


_SYNTHETIC: dict[str, tuple[str, Callable[[Path], Source]]] = {
    "cosqa-docstrings": ("cosqa", docstring_source),
    "scifact-titles": ("scifact", title_source),
    "squad-paragraphs": ("squad-sentences", paragraph_source),
}


def load_source(data: Path, name: str) -> Source | None:
    """A real or synthetic collection; None where its folder is missing."""
    folder, reader = _SYNTHETIC.get(name, (name, read_source))
    return reader(data / folder) if (data / folder).is_dir() else None


def chunk(text: str, tokenizer: Tokenizer, settings: DataSettings) -> list[tuple[str, list[int]]]:
    """Contiguous pieces of at most ``chunk_tokens`` tokens, as text and ids. A short tail is dropped."""
    encoding = tokenizer.encode(text[:4000], add_special_tokens=False)
    pieces = []
    for start in range(0, len(encoding.ids), settings.chunk_tokens)[: settings.max_chunks]:
        ids = encoding.ids[start : start + settings.chunk_tokens]
        if start and len(ids) < 16:
            break
        pieces.append((text[encoding.offsets[start][0] : encoding.offsets[start + len(ids) - 1][1]], ids))
    return pieces


def mine(
    queries: list[str],
    texts: list[str],
    query_vectors: torch.Tensor,
    vectors: torch.Tensor,
    gold_document: list[set[int]],
    document_of: NDArray[np.int32],
    mined: int,
) -> NDArray[np.int32]:
    """Best passages of BM25 and of the teacher outside the relevant documents, [queries, 2 * mined]."""
    index = BM25(texts)
    hard = np.full((len(queries), 2 * mined), -1, np.int32)
    wide = min(len(texts), mined + 16)
    passages = vectors.bfloat16().T.contiguous()
    for start in range(0, len(queries), 256):
        batch = slice(start, start + 256)
        lexical = torch.from_numpy(index.scores(queries[batch])).topk(wide).indices.numpy()
        dense = (query_vectors[batch].bfloat16() @ passages).float().topk(wide).indices.numpy()
        for side, lists in enumerate((lexical, dense)):
            for row, found in enumerate(lists, start):
                kept = [i for i in found if document_of[i] not in gold_document[row]][:mined]
                hard[row, side * mined : side * mined + len(kept)] = kept
    return hard


def prepare(source: Source, tokenizer: Tokenizer, encoder: Encoder, settings: DataSettings) -> Collection:
    """Chunks, encodes, embeds and mines one collection."""
    texts: list[str] = []
    passages: list[NDArray[np.int32]] = []
    owners: list[int] = []
    of_document: dict[str, tuple[int, range]] = {}
    for number, (name, text) in enumerate(source.corpus.items()):
        pieces = chunk(text, tokenizer, settings)
        of_document[name] = (number, range(len(texts), len(texts) + len(pieces)))
        texts += [piece for piece, _ in pieces]
        passages += [np.array(ids, np.int32) for _, ids in pieces]
        owners += [number] * len(pieces)
    asked, gold, gold_documents = [], [], []
    for query, documents in source.relevant.items():
        found = [of_document[d] for d, grade in documents.items() if grade > 0 and d in of_document]
        positives = [i for _, pieces in found for i in pieces]
        if positives and query in source.queries:
            asked.append(source.queries[query])
            gold.append(np.array(positives, np.int32))
            gold_documents.append({number for number, _ in found})
    vectors, query_vectors = encoder.embed(texts), encoder.embed(asked)
    hard = mine(asked, texts, query_vectors, vectors, gold_documents, np.array(owners, np.int32), settings.mined)
    ids = [
        np.array(tokenizer.encode(q, add_special_tokens=False).ids[: settings.query_tokens], np.int32) for q in asked
    ]
    return Collection(passages, ids, vectors.numpy(), query_vectors.numpy(), gold, hard, *places(texts, asked))


def places(texts: list[str], queries: list[str]) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Vectors of passages and of queries by the embedder that ships with the service."""
    embedder, patient = StaticEmbedder(), Deadline.never()
    found = asyncio.run(embedder.embed_passages(texts, patient)), asyncio.run(embedder.embed_queries(queries, patient))
    return found[0].astype(np.float16), found[1].astype(np.float16)


def flatten(rows: list[NDArray[np.int32]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Rows as one array and the offsets between them."""
    return np.concatenate(rows), np.cumsum([0, *map(len, rows)])


def unflatten(flat: NDArray[np.int32], offsets: NDArray[np.int64]) -> list[NDArray[np.int32]]:
    """The rows that ``flatten`` joined."""
    return [flat[a:b] for a, b in pairwise(offsets)]


def save_collection(collection: Collection, path: Path) -> None:
    """Writes one ``.npz``."""
    arrays: dict[str, Any] = {}
    for name in ("passages", "queries", "gold"):
        arrays[name], arrays[name + "_offsets"] = flatten(getattr(collection, name))
    for name in _DENSE:
        arrays[name] = getattr(collection, name)
    np.savez(path, **arrays)


def load_collection(path: Path) -> Collection:
    """Reads what ``save_collection`` wrote."""
    with np.load(path) as arrays:
        ragged = [unflatten(arrays[name], arrays[name + "_offsets"]) for name in ("passages", "queries", "gold")]
        dense = {name: arrays[name] for name in _DENSE}
    return Collection(passages=ragged[0], queries=ragged[1], gold=ragged[2], **dense)


def main() -> None:
    """Prepares every collection of the configuration."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "encoder", "tokenizer", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    settings = load_settings().data
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    encoder = Encoder(arguments.encoder)
    arguments.out.mkdir(parents=True, exist_ok=True)
    save_strange(tokenizer, encoder, settings.chunk_tokens, arguments.out / STRANGE)
    for name in settings.weights:
        source, begun = load_source(arguments.data, name), time.monotonic()
        if source is None:
            print(f"{name}: not there, left out", flush=True)
            continue
        collection = prepare(source, tokenizer, encoder, settings)
        save_collection(collection, arguments.out / f"{name}.npz")
        print(
            f"{name}: {len(source.corpus)} documents, {len(collection.passages)} passages,"
            f" {len(collection.queries)} queries, {time.monotonic() - begun:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
