"""Adapts to a corpus without judgements: queries of other sets are asked of it, and the teacher says who answers.

The passage that the teacher likes best counts as relevant, its next best ones are the hard negatives. No question
and no judgement that belongs to the corpus is read.

usage: python -m training.unlabelled --corpus FILE.jsonl.gz --name NAME --queries SET [SET ...] --data DIR
    --encoder DIR --tokenizer DIR --out DIR
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.beir import joined_text, read_jsonl
from training.data import Collection, chunk, load_source, places, save_collection
from training.encoder import Encoder
from training.settings import DataSettings, load_settings


def asked_of(
    texts: list[str],
    ids: list[NDArray[np.int32]],
    vectors: NDArray[np.float16],
    queries: list[str],
    tokenizer: Tokenizer,
    encoder: Encoder,
    mined: int,
) -> Collection:
    """The passages, whose teacher's vectors are ``vectors``, asked with ``queries`` and ordered by the teacher."""
    asked = encoder.embed(queries)
    passages = torch.from_numpy(vectors).bfloat16().T.contiguous()
    wanted = 2 * mined + 1
    found = [
        (asked[start : start + 256].bfloat16() @ passages).float().topk(min(wanted, len(texts))).indices.numpy()
        for start in range(0, len(queries), 256)
    ]
    missing = max(0, wanted - len(texts))
    best = np.pad(np.concatenate(found).astype(np.int32), ((0, 0), (0, missing)), constant_values=-1)
    tokens = [np.array(tokenizer.encode(query, add_special_tokens=False).ids[:64], np.int32) for query in queries]
    gold, hard = [row[:1] for row in best], best[:, 1:]
    return Collection(ids, tokens, vectors, asked.numpy(), gold, hard, *places(texts, queries))


def passages_of(
    corpus: Path, tokenizer: Tokenizer, settings: DataSettings
) -> tuple[list[str], list[NDArray[np.int32]]]:
    """The first piece of each document, as text and ids: what a reranker would be shown."""
    pieces = [chunk(joined_text(record), tokenizer, settings)[:1] for record in read_jsonl(corpus)]
    return [text for found in pieces for text, _ in found], [
        np.array(ids, np.int32) for found in pieces for _, ids in found
    ]


def questions_of(data: Path, names: list[str]) -> list[str]:
    """Queries of sets that have judgements to train on; a set that is not there has none."""
    sources = [load_source(data, name) for name in names]
    return [s.queries[query] for s in sources if s is not None for query in s.relevant if query in s.queries]


def main() -> None:
    """Prepares one corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("corpus", "data", "encoder", "tokenizer", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--queries", nargs="+", required=True)
    arguments = parser.parse_args()
    settings = load_settings().data
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    texts, ids = passages_of(arguments.corpus, tokenizer, settings)
    queries = questions_of(arguments.data, arguments.queries)
    torch.manual_seed(0)
    encoder = Encoder(arguments.encoder)
    vectors = encoder.embed(texts).numpy()
    collection = asked_of(texts, ids, vectors, queries, tokenizer, encoder, settings.mined)
    save_collection(collection, arguments.out / f"{arguments.name}.npz")
    print(f"{arguments.name}: {len(texts)} passages, {len(queries)} queries")


if __name__ == "__main__":
    main()
