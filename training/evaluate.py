"""nDCG@10 of an exported model over first-stage lists, read in one round: every passage stands in one window.

A set with ``candidates.jsonl.gz`` is scored on those lists against ``qrels/test_official_full.tsv``; any other one on
``runs/bm25_test_top100.tsv.gz`` against ``qrels/test.tsv``. Gains and ties are trec_eval's.

usage: python -m training.evaluate --model model.int8.onnx --tokenizer DIR --data DIR --sets scifact … [--limit 100]
"""

import argparse
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ir_measures
import numpy as np
import onnxruntime
from ir_measures import nDCG
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.beir import Qrels, Run, joined_text, read_corpus, read_jsonl, read_qrels, read_queries, read_run
from training.vocabulary import LABEL_IDS
from training.windows import spell

DEPTH, QUERY_TOKENS = 100, 64


@dataclass(frozen=True)
class Lists:
    """First-stage lists of one set: candidates by query (best first), their texts and the judgements."""

    queries: dict[str, str]
    order: dict[str, list[str]]
    texts: dict[str, str]
    qrels: Qrels


def read_lists(folder: Path) -> Lists:
    """The lists of one set, by whichever of its files holds them."""
    if (folder / "candidates.jsonl.gz").exists():
        records = list(read_jsonl(folder / "candidates.jsonl.gz"))
        return Lists(
            {r["query_id"]: r["query"] for r in records},
            {r["query_id"]: [c["_id"] for c in r["candidates"]][:DEPTH] for r in records},
            {c["_id"]: joined_text(c) for r in records for c in r["candidates"]},
            read_qrels(folder / "qrels" / "test_official_full.tsv"),
        )
    run = read_run(folder / "runs" / "bm25_test_top100.tsv.gz")
    order = {query: sorted(found, key=lambda d: -found[d])[:DEPTH] for query, found in run.items()}
    return Lists(read_queries(folder), order, read_corpus(folder), read_qrels(folder / "qrels" / "test.tsv"))


class Reranker:
    """An exported ONNX model and its tokenizer; how many passages a window shows, and how many tokens of each."""

    def __init__(self, model: Path, tokenizer: Path, threads: int, window: int, passage_tokens: int) -> None:
        self._window, self._passage_tokens = window, passage_tokens
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
        self._tokenizer.encode_special_tokens = True
        self.tokens = 0
        """Read so far."""

    def ids(self, text: str, limit: int) -> list[int]:
        """The first ``limit`` tokens of a text; nothing in it becomes an identifier."""
        return list(self._tokenizer.encode(text[: limit * 20], add_special_tokens=False).ids[:limit])

    def logits(self, query: list[int], passages: list[list[int]]) -> NDArray[np.float32]:
        """Label logits [passages] of one window."""
        labels = LABEL_IDS[: len(passages)]
        ids, _ = spell(query, passages, labels)
        self.tokens += len(ids)
        feeds = {"input_ids": np.array([ids]), "last": np.array([len(ids) - 1]), "label_ids": np.array(labels)}
        scores: NDArray[np.float32] = self._session.run(None, feeds)[0][0]
        return scores

    def rerank(self, query: str, texts: list[str]) -> list[int]:
        """Positions of ``texts``, best first. They are dealt to windows like cards."""
        asked = self.ids(query, QUERY_TOKENS)
        passages = [self.ids(text, self._passage_tokens) for text in texts]
        scores, windows = np.empty(len(texts)), -(-len(texts) // self._window)
        for first in range(windows):
            scores[first::windows] = self.logits(asked, passages[first::windows])
        return [int(i) for i in np.argsort(-scores, kind="stable")]


def ndcg_by_query(qrels: Qrels, order: Mapping[str, list[str]]) -> dict[str, float]:
    """nDCG@10 of each query of ``order`` that has judgements."""
    judged = {query: grades for query, grades in qrels.items() if query in order}
    run: Run = {
        query: {d: float(-rank) for rank, d in enumerate(found)} for query, found in order.items() if query in judged
    }
    return {found.query_id: float(found.value) for found in ir_measures.iter_calc([nDCG @ 10], judged, run)}


def ndcg(qrels: Qrels, order: Mapping[str, list[str]]) -> float:
    """Mean over the queries of ``order`` that have judgements."""
    return float(np.mean(list(ndcg_by_query(qrels, order).values())))


def evaluate(reranker: Reranker, lists: Lists, limit: int, depth: int, shuffled: int | None) -> str:
    """One line of figures: first stage, reranked, cost. ``shuffled`` is a seed, for lists in a random order.

    The best ``depth`` of a list are reranked, the others follow.
    """
    judged = sorted(query for query in lists.order if query in lists.qrels)
    chosen = sorted(random.Random(7).sample(judged, min(limit, len(judged))))
    first = {query: lists.order[query] for query in chosen}
    begun, read, ranked = time.monotonic(), reranker.tokens, {}
    for query, found in first.items():
        mixed = found if shuffled is None else random.Random(f"{shuffled} {query}").sample(found, len(found))
        order = reranker.rerank(lists.queries[query], [lists.texts[d] for d in mixed[:depth]])
        ranked[query] = [mixed[i] for i in order] + mixed[depth:]
    spent, tokens = (time.monotonic() - begun) / len(chosen), (reranker.tokens - read) / len(chosen)
    before, after = ndcg(lists.qrels, first), ndcg(lists.qrels, ranked)
    cost = f"{tokens:.0f} tokens {spent:.2f} s/query"
    return f"{len(chosen)} queries  first stage {before:.4f}  reranked {after:.4f}  {cost}"


def main() -> None:
    """Prints a line for each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "tokenizer", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--limit", type=int, default=100, help="queries per set, a fixed sample")
    parser.add_argument("--shuffled", type=int, help="seed of a random order of the candidates")
    parser.add_argument("--depth", type=int, default=DEPTH, help="of a list; what is behind it stays there")
    for name, value in (("window", 20), ("passage-tokens", 78), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    reranker = Reranker(
        arguments.model, arguments.tokenizer, arguments.threads, arguments.window, arguments.passage_tokens
    )
    for name in arguments.sets:
        lists = read_lists(arguments.data / name)
        line = evaluate(reranker, lists, arguments.limit, arguments.depth, arguments.shuffled)
        print(f"{name}: {line}", flush=True)


if __name__ == "__main__":
    main()
