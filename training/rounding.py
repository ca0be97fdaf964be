"""In which numbers the exported files hold the parameters, so that what is solved last is solved for just those."""

import torch

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
