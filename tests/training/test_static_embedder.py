from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch

from tests.training import made
from training.static_embedder.fit import Fitting, Lesson, Recipe
from training.static_embedder.student import Student, piece_rows
from training.static_embedder.texts import read_text_set
from training.static_embedder.vocabulary import projection, sif_weights, whole_words, word_counts

pytestmark = pytest.mark.needs("torch")

PIECES = [*made.FILLER, *made.NAMES, "where", "is"]
WIDTH = 8


def student() -> Student:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(len(PIECES), WIDTH)).astype(np.float32)
    return Student(vectors, random.uniform(0.5, 2, len(PIECES)).astype(np.float32))


def unit(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_saved_files_give_the_vectors_that_were_trained(tmp_path: Path) -> None:
    trained, rows = student(), piece_rows(PIECES, ["where is the old oak", "quick fox", "unknown"])
    with torch.no_grad():
        trained.query_weights += 0.5
    trained.save(PIECES, tmp_path)

    assert (tmp_path / "pieces.txt").read_text().splitlines() == PIECES
    vectors = np.load(tmp_path / "vectors.npy")
    assert vectors.dtype == np.int8
    for kind, expected in (("query", trained.queries(rows)), ("passage", trained.passages(rows))):
        weighted = vectors * np.load(tmp_path / f"{kind}_scales.npy")[:, None]
        sums = np.stack([weighted[each].sum(axis=0) for each in rows])
        found = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        assert np.allclose(found, expected.detach().numpy(), atol=0.02)


def test_fitting_lowers_the_loss(tmp_path: Path) -> None:
    texts = read_text_set(made.write_set(tmp_path / "set"))
    lesson = Lesson(
        name=texts.name,
        passages=piece_rows(PIECES, texts.passages),
        queries=piece_rows(PIECES, texts.queries),
        pairs=np.array(texts.pairs, dtype=np.int64),
        passage_targets=unit(len(texts.passages), 2),
        query_targets=unit(len(texts.queries), 3),
    )
    losses: list[float] = []
    recipe = Recipe(steps=60, queries=10, mined=10, texts=20, learning_rate=3e-2)
    Fitting(student(), [lesson], recipe).run(lambda _, loss: losses.append(loss))

    assert len(losses) == 60
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_pairs_name_the_rows_of_queries_and_passages(tmp_path: Path) -> None:
    texts = read_text_set(made.write_set(tmp_path / "set"))

    assert len(texts.pairs) == made.QUERIES
    for query, passage in texts.pairs:
        assert texts.queries[query].split()[-2:] == texts.passages[passage].split()[-2:]


def test_frequent_words_that_pieces_cut_get_rows_of_their_own() -> None:
    counts = word_counts([["the spruce and the oak"] * 3 + ["the spruce"] * 2])

    assert whole_words(["the", "oak"], counts, 1) == ["spruce"]


def test_a_frequent_piece_weighs_less_than_a_rare_one() -> None:
    counts = word_counts([["the oak"] * 3 + ["the"] * 97])
    common, rare = sif_weights(["the", "oak"], counts)

    assert common < rare


def test_a_projection_to_the_full_dimension_keeps_cosines() -> None:
    sentences = unit(30, 4)
    projected = sentences @ projection(sentences, WIDTH)

    assert np.allclose(projected @ projected.T, sentences @ sentences.T, atol=1e-4)
