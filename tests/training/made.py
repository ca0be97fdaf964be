"""A collection of 40 documents to train on."""

from __future__ import annotations

import json
from pathlib import Path

from service.domain import Document
from training.collection import Collection

DOCUMENTS, QUERIES = 40, 30
FILLER = ["quick", "brown", "fox", "jumps", "over", "lazy", "dog", "near", "river", "stones", "under", "old", "oak"]
NAMES = [f"{first}{last}" for first in ("ba", "de", "fi", "go", "ku") for last in ("lan", "mer", "nol", "pit")]


def collection() -> Collection:
    """Every document has two names of its own; a query asks for both, and one document answers it."""
    texts = {
        f"d{i}": " ".join(
            [FILLER[(i + j) % len(FILLER)] for j in range(12)] + [NAMES[i % 20], NAMES[(i * 7 + i // 20) % 20]]
        )
        for i in range(DOCUMENTS)
    }
    queries = {f"q{i}": f"where is {' '.join(texts[f'd{i}'].split()[-2:])}" for i in range(QUERIES)}
    corpus = {name: Document(name, text) for name, text in texts.items()}
    return Collection(corpus, queries, {f"q{i}": {f"d{i}": 1} for i in range(QUERIES)})


def write_set(folder: Path) -> Path:
    """The collection in BEIR layout."""
    made = collection()
    (folder / "qrels").mkdir(parents=True)
    texts = {name: document.text for name, document in made.corpus.items()}
    for name, of in (("corpus", texts), ("queries", made.queries)):
        lines = [json.dumps({"_id": key, "text": text}) for key, text in of.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    rows = [f"{query}\t{name}\t{grade}" for query, found in made.qrels.items() for name, grade in found.items()]
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(rows) + "\n")
    return folder
