from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

from tests.training import made
from training.data import Collection, load_collection, load_source
from training.encoder import Encoder
from training.mixture import Mixture
from training.settings import Settings
from training.spans import SPANS, Speller, prepare, whole_words
from training.vocabulary import build_tokenizer
from training.windows import Shape, shape_at

pytestmark = pytest.mark.needs("torch")


def settings() -> Settings:
    configured = made.settings()
    data = replace(configured.data, weights={"own": 1.0}, spans=200, span_passages=15, dev_queries=0)
    return replace(configured, data=data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection ``own``, prepared, and beside it an encoder."""
    folder = tmp_path_factory.mktemp("prepared")
    made.windows(made.write_encoder(folder / "encoder"), folder)
    made.write_set(folder / "data" / "own")
    return folder


@pytest.fixture(scope="module")
def spans(folder: Path) -> Collection:
    prepare(folder / "data", folder, build_tokenizer(made.pieces()), Encoder(folder / "encoder"), settings())
    return load_collection(folder / f"{SPANS}.npz")


def test_texts_are_short_and_of_every_kind(folder: Path) -> None:
    source = load_source(folder / "data", "own")
    assert source is not None
    passages, questions = [*source.corpus.values()], [*source.queries.values()]
    speller = Speller(passages, questions, ["oddity"], np.random.default_rng(0))
    texts = [speller.text() for _ in range(500)]

    assert max(len(text.split()) for text in texts) <= 16
    assert min(len(text) for text in texts) > 0
    assert any(text in passage for text in texts for passage in passages)  # a stretch
    assert any(set(text.split()) == {"oddity"} for text in texts)  # words in random company
    assert any("where" in text and text not in questions for text in texts)  # a question with words left out
    assert any(text.startswith(("what is", "how to", "define")) for text in texts)


def test_the_teacher_says_what_a_text_means_and_which_passage_is_nearest(folder: Path, spans: Collection) -> None:
    tokenizer, encoder = build_tokenizer(made.pieces()), Encoder(folder / "encoder")
    unknown = tokenizer.token_to_id("[UNK]")
    spelt = [i for i, ids in enumerate(spans.queries) if unknown not in ids][:20]
    asked = [tokenizer.decode([int(i) for i in spans.queries[n]]) for n in spelt]
    cosines = spans.query_vectors.astype(np.float32) @ spans.passage_vectors.astype(np.float32).T

    assert np.allclose(encoder.embed(asked).numpy(), spans.query_vectors[spelt], atol=0.02)
    assert all(cosines[i, gold[0]] > cosines[i].max() - 0.01 for i, gold in enumerate(spans.gold))
    assert len(spans.passages) == 15
    assert {tuple(p) for p in spans.passages} <= {tuple(p) for p in load_collection(folder / "own.npz").passages}


def test_whole_words_are_words() -> None:
    words = whole_words(build_tokenizer(made.pieces()))
    assert set(made.NAMES) <= set(words)
    assert not [word for word in words if len(word) < 3 or not word.isalpha()]


def test_windows_with_such_queries_are_drawn_where_they_were_prepared(folder: Path, spans: Collection) -> None:
    random = np.random.default_rng(3)
    mixture = Mixture(folder, settings(), random)
    assert mixture.spans == settings().train.spans > 0
    shown = {tuple(window.vectors[-1]) for window in mixture.sample(Shape(2, 78, 0.5, spans=True), 50)}
    assert shown <= {tuple(vector) for vector in spans.query_vectors}
    shapes = [shape_at(0.5, random, settings().train, mixture.spans) for _ in range(400)]
    assert abs(np.mean([shape.spans for shape in shapes]) - mixture.spans) < 0.1
    assert {shape.passages for shape in shapes if shape.spans} == {2}


def test_where_they_were_not_prepared_no_step_shows_them(folder: Path, tmp_path: Path) -> None:
    for name in ("own.npz", "strange.npz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    mixture = Mixture(tmp_path, settings(), np.random.default_rng(3))
    assert mixture.spans == 0
    random = np.random.default_rng(1)
    assert not any(shape_at(0.5, random, settings().train, mixture.spans).spans for _ in range(100))
