"""In which numbers the exported files hold the parameters, so that what is solved last is solved for just those."""

import torch
from torch import Tensor

from training.model import Decoder


def stored_as(name: str, layers: int) -> torch.dtype:
    """Matrices and the token table: eight bits; those of the last two layers, positions, biases and norms: sixteen."""
    solved = name.startswith((f"layers.{layers - 2}.", f"layers.{layers - 1}."))
    matrix = name.endswith("weight") and "norm" not in name and not solved
    return torch.float8_e4m3fn if matrix or name == "tokens" else torch.bfloat16


@torch.no_grad()
def round_off(model: Decoder) -> None:
    """Rounds the parameters to what the files hold."""
    for name, value in model.named_parameters():
        value.copy_(value.to(stored_as(name, len(model.layers))).to(value.dtype))


@torch.no_grad()
def rounded_for(weight: Tensor, rows: Tensor) -> Tensor:
    """``weight`` [width, n] in bfloat16's numbers, such that its products with ``rows`` [m, width] stay as they are.

    One number after the other is rounded, the largest first; those that are left make up for what the products lost.
    """
    kept = weight.clone()
    order = weight.abs().sum(1).argsort(descending=True)
    for place, at in enumerate(order):
        lost = kept[at].clone()
        kept[at] = kept[at].to(torch.bfloat16).to(kept.dtype)
        lost -= kept[at]
        left = order[place + 1 :]
        kept[left] += torch.linalg.pinv(rows[:, left]) @ (rows[:, at, None] * lost)
    return kept
