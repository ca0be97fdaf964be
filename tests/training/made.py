"""What the tests of training train on: 40 made-up documents, a tiny encoder, and a tiny decoder of our own recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from training import pointer, strange
from training import train as training_loop
from training.carve import carve
from training.data import Source, prepare, save_collection
from training.encoder import Encoder
from training.export import export
from training.mixture import Mixture
from training.model import Decoder
from training.pointer import point
from training.probe import Probe, read_vectors
from training.recast import recast, sample
from training.settings import Settings, load_settings
from training.slots import LONGEST
from training.strange import STRANGE, save_strange
from training.vocabulary import SPECIALS, build_tokenizer, save_tokenizer
from training.windows import Batch, Shape, batches

DOCUMENTS, QUERIES = 40, 30
FILLER = ["quick", "brown", "fox", "jumps", "over", "lazy", "dog", "near", "river", "stones", "under", "old", "oak"]
NAMES = [f"{first}{last}" for first in ("ba", "de", "fi", "go", "ku") for last in ("lan", "mer", "nol", "pit")]
SMALL_SAMPLE = [(Shape(20, 78, 0.5), 12), (Shape(2, 78, 0.5), 40)]


def source() -> Source:
    """Every document has two names of its own; a query asks for both, and one document answers it."""
    corpus = {
        f"d{i}": " ".join(
            [FILLER[(i + j) % len(FILLER)] for j in range(12)] + [NAMES[i % 20], NAMES[(i * 7 + i // 20) % 20]]
        )
        for i in range(DOCUMENTS)
    }
    queries = {f"q{i}": f"where is {' '.join(corpus[f'd{i}'].split()[-2:])}" for i in range(QUERIES)}
    return Source(corpus, queries, {f"q{i}": {f"d{i}": 1} for i in range(QUERIES)})


def write_set(folder: Path) -> Path:
    """The collection in BEIR layout, not gzipped."""
    made = source()
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", made.corpus), ("queries", made.queries)):
        lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    rows = [f"{query}\t{name}\t{grade}" for query, found in made.relevant.items() for name, grade in found.items()]
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(rows) + "\n")
    return folder


def pieces() -> list[str]:
    """A vocabulary that spells all of it."""
    return [*dict.fromkeys([*FILLER, *NAMES, "where", "is", *"abcdefghijklmnopqrstuvwxyz"])]


def write_encoder(folder: Path) -> Path:
    """A sentence encoder of one layer with random weights, as wide as the real one."""
    torch.manual_seed(1)
    shape: dict[str, Any] = {
        "hidden_size": 384,
        "num_hidden_layers": 1,
        "num_attention_heads": 12,
        "intermediate_size": 96,
    }
    BertModel(BertConfig(vocab_size=2000, initializer_range=0.1, **shape)).save_pretrained(folder)
    build_tokenizer(pieces()).save(str(folder / "tokenizer.json"))
    return folder


def decoder(encoder: Path) -> Decoder:
    """That encoder recast."""
    torch.manual_seed(2)
    rows = list(range(len(SPECIALS), len(SPECIALS) + len(pieces())))
    made = recast(dict(BertModel.from_pretrained(encoder).state_dict()), rows, 0)
    model = Decoder(len(made["tokens"]), inner=96, layers=3)
    model.load_state_dict(made)
    carve(model, sample(build_tokenizer(pieces()), [list(source().corpus.values())]))
    return model


def windows(encoder: Path, folder: Path) -> list[Batch]:
    """A sample of windows of the collection, which is prepared in ``folder``."""
    tokenizer, teacher, configured = build_tokenizer(pieces()), Encoder(encoder), settings()
    save_strange(tokenizer, teacher, 96, folder / STRANGE)
    save_collection(prepare(source(), tokenizer, teacher, configured.data), folder / "own.npz")
    data = replace(configured.data, weights={"own": 1.0}, dev_queries=0)
    mixture = Mixture(folder, replace(configured, data=data), np.random.default_rng(1))
    return [batch for shape, count in SMALL_SAMPLE for batch in batches(mixture.sample(shape, count), 8192)]


def pointed(encoder: Path, sampled: list[Batch]) -> Decoder:
    """The decoder with its probe and its pointer solved, as exported models are."""
    model, probe = decoder(encoder), Probe()
    with torch.no_grad():
        read_vectors(probe, [(batch, model.below(batch.ids)) for batch in sampled])
    point(model, probe, sampled)
    return model


def write_model(model: Decoder, folder: Path) -> Path:
    """The decoder exported, with its tokenizer."""
    save_tokenizer(build_tokenizer(pieces()), folder / "tokenizer", LONGEST)
    export(model, folder / "tokenizer", folder, LONGEST)
    return folder


def settings(minutes: float = 0.03) -> Settings:
    """The configured settings, for a moment of training on small batches."""
    configured = load_settings()
    brief = replace(configured.finetune, minutes=minutes, batch_tokens=2000)
    lora = replace(
        configured.lora, rank=4, alpha=8, epochs=2, warmup_steps=2, learning_rate=5e-3, batch_tokens=1500, accumulate=2
    )
    held = replace(configured.held_out, depth=25, share=0.2)
    train = replace(brief, orthogonal_steps=configured.train.orthogonal_steps, warmup_steps=2)
    return replace(configured, finetune=brief, lora=lora, held_out=held, train=train)


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Lets the probe and the pointer be solved on few windows, with few strange texts."""
    for module in (pointer, training_loop):
        patch.setattr(module, "_SAMPLE", SMALL_SAMPLE)
    patch.setattr(strange, "_COUNT", 50)
