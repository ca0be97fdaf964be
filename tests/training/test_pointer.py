from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch
from torch import Tensor

from tests.training import made
from training.model import Decoder, label_logits
from training.vocabulary import LABEL_IDS, REFERENCE_ID, build_tokenizer
from training.windows import SERVED_LABELS, Batch, spell

pytestmark = pytest.mark.needs("torch")


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    encoder = made.write_encoder(tmp_path_factory.mktemp("encoder"))
    return made.windows(encoder, tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def model(windows: list[Batch], tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    return made.pointed(made.write_encoder(tmp_path_factory.mktemp("encoder")), windows)


def logits(model: Decoder, query: list[int], passages: list[list[int]]) -> Tensor:
    """Of the labels of a window, then of the reference."""
    ids, _ = spell(query, passages, LABEL_IDS[: len(passages)])
    asked = torch.tensor([[*LABEL_IDS[: len(passages)], REFERENCE_ID]])
    with torch.no_grad():
        hidden = model(torch.tensor([ids]), torch.tensor([len(ids) - 1]), torch.float32)
        return label_logits(model, hidden, asked)[0]


def asked_and_shown() -> tuple[list[int], list[list[int]]]:
    """A query and a window's passages."""
    tokenizer, source = build_tokenizer(made.pieces()), made.source()
    query, *passages = (
        list(tokenizer.encode(text, add_special_tokens=False).ids)
        for text in (source.queries["q3"], *list(source.corpus.values())[:SERVED_LABELS])
    )
    return query, passages


def test_a_passage_has_the_same_logit_whatever_stands_beside_it(model: Decoder) -> None:
    query, passages = asked_and_shown()
    half = SERVED_LABELS // 2
    neighbours = torch.cat([logits(model, query, passages[start : start + half])[:-1] for start in (0, half)])
    order = neighbours.argsort(descending=True)
    best, worst = order[:half], order[half:]
    among_equals = [logits(model, query, [passages[int(i)] for i in some])[:-1].mean() for some in (best, worst)]

    # told from the mean of their window, both would be the same
    assert among_equals[0] - among_equals[1] > 0.5 * (neighbours[best].mean() - neighbours[worst].mean())


def test_the_reference_has_none(model: Decoder) -> None:
    assert logits(model, [70, 71], [[72], [73]])[-1] == 0


def test_a_passage_has_the_same_logit_in_every_slot(model: Decoder) -> None:
    query, passages = asked_and_shown()
    turns = [[(first + place) % SERVED_LABELS for place in range(SERVED_LABELS)] for first in range(SERVED_LABELS)]
    by_slot = torch.stack([logits(model, query, [passages[shown] for shown in turn])[:-1] for turn in turns])
    means = torch.zeros(SERVED_LABELS).scatter_add(0, torch.tensor(turns).flatten(), by_slot.flatten()) / SERVED_LABELS

    assert (by_slot - means[torch.tensor(turns)]).mean(0).abs().max() < 0.5  # bfloat16's sample would leave 2
