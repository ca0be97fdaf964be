"""What hides slots from each other, in the weights that ship."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch

from training.carve import isolate
from training.imported import read_model
from training.rounding import round_off

pytestmark = pytest.mark.needs("torch")

FOLDER = Path(__file__).parents[2] / "service/models/onepass-mini"


def test_the_weights_that_ship_hide_slots_as_well_as_what_is_carved_today() -> None:
    model = read_model(FOLDER)
    before = {name: value.clone() for name, value in model.layers.named_parameters()}

    isolate(model)
    round_off(model)

    changed = [name for name, value in model.layers.named_parameters() if not torch.equal(value, before[name])]
    assert changed == []
