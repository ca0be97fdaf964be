from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch

from tests.training import made
from training.carve import fixed
from training.model import Decoder, encoder_layers, last_layer
from training.optimizer import Optimizer
from training.settings import TrainSettings

pytestmark = pytest.mark.needs("torch")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.write_encoder(tmp_path_factory.mktemp("encoder"))


def settings(orthogonal_steps: int = 5) -> TrainSettings:
    return replace(made.settings().train, weight_decay=0.0, orthogonal_steps=orthogonal_steps, matrix_haste=1.5)


def stepped(model: Decoder, optimizer: Optimizer, seed: int) -> None:
    """A step by random gradients, of which one direction of every matrix is ten times the others."""
    random = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=random)
        if parameter.ndim > 1:
            parameter.grad += 10 * torch.outer(*(torch.randn(n, generator=random) for n in parameter.shape)).sign()
    optimizer.step(0.01)


def test_a_matrix_moves_as_far_in_every_direction(encoder: Path) -> None:
    model = made.decoder(encoder)
    before = encoder_layers(model)[0].widen.weight.detach().clone()
    stepped(model, Optimizer(model, [], settings()), 1)
    moved = torch.linalg.svdvals(encoder_layers(model)[0].widen.weight.detach() - before)

    assert moved[0] < 5 * moved[len(moved) // 2]  # of the gradient they are fifty to one
    size = (moved.square().sum() / before.numel()).sqrt().item()
    assert 0.5 < size / (0.2 * 1.5 * 0.01) < 1.5  # as AdamW's steps, and the haste


def test_without_orthogonal_steps_all_is_adamws(encoder: Path) -> None:
    model = made.decoder(encoder)
    optimizer = Optimizer(model, [], settings(orthogonal_steps=0))
    before = encoder_layers(model)[0].widen.weight.detach().clone()
    stepped(model, optimizer, 1)

    assert optimizer.state_dict().keys() == {"adamw"}
    moved = encoder_layers(model)[0].widen.weight.detach() - before
    assert torch.allclose(moved.abs(), torch.tensor(0.01), rtol=1e-3)  # the first step of AdamW has one size


def test_the_last_layer_is_left_alone(encoder: Path) -> None:
    model = made.decoder(encoder)
    before = [p.detach().clone() for p in last_layer(model).parameters()]
    stepped(model, Optimizer(model, [], settings()), 1)

    assert all(map(torch.equal, before, last_layer(model).parameters()))


def test_a_run_goes_on_from_its_state(encoder: Path) -> None:
    whole = made.decoder(encoder)
    optimizer = Optimizer(whole, [], settings())
    for seed in (1, 2):
        stepped(whole, optimizer, seed)

    parts = made.decoder(encoder)
    first = Optimizer(parts, [], settings())
    stepped(parts, first, 1)
    second = Optimizer(parts, [], settings())
    second.load_state_dict(first.state_dict())
    stepped(parts, second, 2)

    assert all(map(torch.equal, whole.parameters(), parts.parameters()))


def test_what_says_where_a_token_stands_is_kept(encoder: Path) -> None:
    model = made.decoder(encoder)
    kept = fixed(model)
    values = [part.value.clone() for part in kept]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for part in kept:
        part.hide()
    assert not any(part.part(part.parameter.grad).any() for part in kept if part.parameter.grad is not None)
    asked = encoder_layers(model)[0].query.weight.grad
    assert asked is not None
    assert asked.any()

    Optimizer(model, [], replace(settings(), weight_decay=0.5)).step(0.1)
    assert not all(torch.equal(part.part(part.parameter.data), part.value) for part in kept)
    for part in kept:
        part.restore()
    assert all(torch.equal(part.part(part.parameter.data), value) for part, value in zip(kept, values, strict=True))
