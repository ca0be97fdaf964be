from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

from tests.training import made
from training.composed import COMPOSED, Composer, Related, prepare
from training.data import Collection, load_collection
from training.encoder import Encoder
from training.mixture import Mixture
from training.settings import Settings
from training.vocabulary import build_tokenizer
from training.windows import LONGEST_PASSAGE, Shape

pytestmark = pytest.mark.needs("torch")

PASSAGES = [
    "rivers carry gravel and sand down to the delta every spring",
    "the delta of a river grows where its water slows down",
    "bread rises because yeast makes gas in the warm dough",
]
QUESTIONS = ["where does a delta grow?", "what is a delta?", "why does dough rise?"]


def settings() -> Settings:
    configured = made.settings()
    weights = {COMPOSED: 1.0, "own": 1.0}
    return replace(configured, data=replace(configured.data, weights=weights, composed=150, dev_queries=0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection ``own`` and what is composed of it, and beside them an encoder."""
    folder = tmp_path_factory.mktemp("prepared")
    made.windows(made.write_encoder(folder / "encoder"), folder)
    made.write_set(folder / "data" / "own")
    prepare(folder / "data", folder, build_tokenizer(made.pieces()), Encoder(folder / "encoder"), settings())
    return folder


@pytest.fixture(scope="module")
def composed(folder: Path) -> Collection:
    return load_collection(folder / f"{COMPOSED}.npz")


def composer() -> Composer:
    return Composer(PASSAGES, QUESTIONS, ["oddity"], np.random.default_rng(0))


def test_passages_are_of_every_kind() -> None:
    maker = composer()
    texts = [maker.text() for _ in range(400)]
    bare = [question.rstrip("?") for question in QUESTIONS]

    assert all(text.strip() and len(text.split()) < 400 for text in texts)
    assert any(sum(question in text for question in bare) > 1 for text in texts)  # questions in a row
    assert any(text.count(", ") > 3 for text in texts)  # a list of terms
    assert any("yeast" in text and "gravel" in text for text in texts)  # of several passages
    assert any("oddity" in text for text in texts)  # words exchanged
    assert any(text.count(word) > 2 for text in texts for word in ("gravel", "yeast"))  # again and again


def test_nothing_is_in_them_but_what_they_are_made_of() -> None:
    maker = composer()
    known = {word for text in [*PASSAGES, *QUESTIONS] for word in text.strip("?").split()} | {"oddity"}
    leads = {"related:", "contents", "see", "also", "1.", "q:", "faq", "more:", "top", "overview"}
    for _ in range(200):
        words = [word.strip("?.,;") for word in maker.text().split()]
        strange = {w for w in words if w and not w.isdigit()} - known - {lead.strip(".") for lead in leads}
        assert strange <= {"|", "·", "/", "-", "..."}


def test_related_texts_share_a_word_that_few_hold() -> None:
    related = Related(PASSAGES, np.random.default_rng(1))
    found = [related.of("a delta") for _ in range(200)]
    assert sum("delta" in text for text in found) > 150
    assert any("delta" not in text for text in found)  # pages wander
    assert related.of("nothing known") in PASSAGES


def test_the_teacher_sees_what_the_model_will_see(folder: Path, composed: Collection) -> None:
    tokenizer, encoder = build_tokenizer(made.pieces()), Encoder(folder / "encoder")
    unknown = tokenizer.token_to_id("[UNK]")
    spelt = [i for i, ids in enumerate(composed.passages) if unknown not in ids][:20]
    shown = [tokenizer.decode([int(i) for i in composed.passages[n]]) for n in spelt]

    assert len(spelt) > 5
    assert np.allclose(encoder.embed(shown).numpy(), composed.passage_vectors[spelt], atol=0.02)
    assert max(map(len, composed.passages)) <= LONGEST_PASSAGE


def test_windows_show_them(folder: Path, composed: Collection) -> None:
    mixture = Mixture(folder, settings(), np.random.default_rng(3))
    asked = {tuple(vector) for vector in composed.query_vectors}
    drawn = [tuple(window.vectors[-1]) in asked for window in mixture.sample(Shape(4, 78, 0.5), 60)]
    assert any(drawn)
    assert not all(drawn)
