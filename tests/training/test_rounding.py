from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")

import torch

from training.rounding import rounded_for

pytestmark = pytest.mark.needs("torch")


def test_numbers_are_rounded_so_that_their_products_stay() -> None:
    torch.manual_seed(0)
    rows, weight = torch.randn(20, 384), torch.randn(384, 3) * torch.logspace(-3, 1, 384)[:, None]
    rounded, plainly = rounded_for(weight, rows), weight.bfloat16().float()

    assert torch.equal(rounded, rounded.bfloat16().float())
    lost = [(rows @ (numbers - weight)).abs().max() for numbers in (rounded, plainly)]
    assert lost[0] < lost[1] / 10
    assert (rounded - weight).norm() < 3 * (plainly - weight).norm()
