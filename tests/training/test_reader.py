from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch
from transformers import AutoModelForCausalLM

from training.evidence import Judged
from training.reader import Reader, ReadList, Recipe, canonical, features, fused, ndcg, train

pytestmark = pytest.mark.needs("torch")

DIMENSION, COUNT = 8, 6
RECIPE = Recipe(labels=COUNT, width=32, heads=2, epochs=20, batch=8, learning_rate=3e-3)
WEIGHTS = (10.0, 1.0, 0.1)


def made(seed: int, count: int = COUNT) -> ReadList:
    """A list whose relevant passage has the second best cosine; the rest of its evidence is noise."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(1 + count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    evidence = np.stack(
        [random.uniform(0, 1, count), random.uniform(0, 1, count), random.uniform(1, 20, count)], axis=1
    )
    grades = np.zeros(count)
    grades[np.argsort(-evidence[:, 0])[1]] = 1
    return ReadList(Judged(evidence, grades, 1.0), vectors[0], vectors[1:])


def shuffled(each: ReadList, order: np.ndarray) -> ReadList:
    judged = replace(each.judged, evidence=each.judged.evidence[order], grades=each.judged.grades[order])
    return replace(each, judged=judged, passages=each.passages[order])


def noisy(recipe: Recipe = RECIPE) -> Reader:
    """A reader whose every weight has moved, so that its logits are not zero."""
    torch.manual_seed(1)
    reader = Reader(WEIGHTS, DIMENSION, recipe)
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return reader.eval()


def test_untrained_reader_gives_the_evidence_exactly() -> None:
    each = made(0)
    assert np.array_equal(
        Reader(WEIGHTS, DIMENSION, RECIPE).scores(each), fused(each.judged.evidence, np.array(WEIGHTS))
    )


def test_shuffled_list_gives_exactly_the_same_scores() -> None:
    reader, each = noisy(), made(0)
    expected = reader.scores(each)
    assert not np.allclose(expected, fused(each.judged.evidence, np.array(WEIGHTS)))
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(COUNT)
        assert np.array_equal(reader.scores(shuffled(each, order)), expected[order])


def test_vectors_decide_the_place_of_equal_evidence() -> None:
    each = made(0)
    each = replace(each, judged=replace(each.judged, evidence=np.ones((COUNT, 3))))
    order = np.arange(COUNT)[::-1]
    first, second = canonical(each, np.array(WEIGHTS)), canonical(shuffled(each, order), np.array(WEIGHTS))
    assert first == order[second].tolist()


def test_features_are_worked_out_by_hand() -> None:
    found = features(np.array([[0.5, 2.0, 0.0], [0.1, 4.0, 20.0]]), np.array([3.0, 1.0]))
    assert found[0] == pytest.approx([0.5, 0.2, 0.0, 10 / 11, 10 / 12, 0.0, 1, -1, -1, 0.0], abs=1e-4)
    assert found[1] == pytest.approx([0.1, 0.4, 1.0, 10 / 12, 10 / 11, 10 / 11, -1, 1, 1, -0.2], abs=1e-4)


def test_position_in_the_prompt_does_not_count() -> None:
    reader = noisy()
    prompt = torch.randn(1, 4, RECIPE.width)
    near, far = (
        reader.decoder(inputs_embeds=prompt, position_ids=torch.tensor([places])).logits
        for places in ([0, 1, 2, 3], [0, 4, 5, 7])
    )
    assert torch.allclose(near, far, atol=1e-5)


def test_shorter_prompt_is_not_changed_by_padding() -> None:
    reader = noisy()
    short, long = (
        reader.prompt(each, torch.arange(count), range(count)) for each, count in ((made(1, 3), 3), (made(2), COUNT))
    )
    assert torch.allclose(reader.logits([short, long])[0], reader.logits([short])[0], atol=1e-5)


def test_candidates_without_a_label_keep_their_evidence() -> None:
    each = made(3, COUNT + 2)
    found, sums = noisy().scores(each), fused(each.judged.evidence, np.array(WEIGHTS))
    assert (found == sums).sum() == 2
    assert set(np.flatnonzero(found == sums)) == set(np.argsort(sums)[:2])


def test_training_learns_what_the_evidence_does_not_tell() -> None:
    lists = [made(seed) for seed in range(120)]
    reader = train([lists[:60], lists[60:100]], RECIPE)
    before, after = (
        np.mean([ndcg(each, scores(each)) for each in lists[100:]])
        for scores in (lambda each: fused(each.judged.evidence, reader.weights.numpy()), reader.scores)
    )
    assert after > before + 0.1


def test_checkpoint_is_a_llama_that_gives_the_same_logits(tmp_path: Path) -> None:
    reader, each = noisy(), made(0)
    reader.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors", "reader.safetensors",
    ]  # fmt: skip
    prompt = reader.prompt(each, torch.arange(COUNT), range(COUNT))
    decoder = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert decoder.config.model_type == "llama"
    assert torch.equal(decoder(inputs_embeds=prompt[None], logits_to_keep=1).logits[0], reader.logits([prompt]))
    assert np.array_equal(Reader.load(tmp_path).scores(each), reader.scores(each))
