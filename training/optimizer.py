"""Muon for the matrices of the layers, AdamW for all else, stepped as one.

Muon (Jordan et al. 2024, torch's own) takes a step that is as long in every direction of a matrix: the momentum of its
gradients is made nearly orthogonal by a few iterations of Newton and Schulz. ``match_rms_adamw`` (arXiv 2502.16982)
scales it such that one learning rate suits both.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from training.model import Decoder, last_layer
from training.settings import TrainSettings

_READER_HASTE = 0.1  # times the learning rate: the probe is solved already, and its inputs are long


class Optimizer:
    """Both optimisers over a model, of which the last layer is solved and not trained, and over its probe."""

    def __init__(self, model: Decoder, readers: Sequence[nn.Parameter], settings: TrainSettings) -> None:
        matrices = [p for p in model.layers[:-1].parameters() if p.ndim > 1]
        if not settings.orthogonal_steps:
            matrices = []
        known = set(map(id, [*matrices, *readers, *last_layer(model).parameters()]))
        rest = [p for p in model.parameters() if id(p) not in known]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": settings.weight_decay, "haste": 1.0},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0, "haste": 1.0},
            {"params": [*readers], "weight_decay": 0.0, "haste": _READER_HASTE},
        ]
        rate = settings.learning_rate
        self._both: dict[str, torch.optim.Optimizer] = {
            "adamw": torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=True)
        }
        if matrices:
            self._both["muon"] = torch.optim.Muon(
                [{"params": matrices, "haste": settings.matrix_haste}],
                lr=rate,
                weight_decay=settings.weight_decay,
                ns_steps=settings.orthogonal_steps,
                adjust_lr_fn="match_rms_adamw",
            )

    def step(self, learning_rate: float) -> None:
        """Takes a step; every group has a haste of its own."""
        for optimizer in self._both.values():
            for group in optimizer.param_groups:
                group["lr"] = group["haste"] * learning_rate
            optimizer.step()

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for optimizer in self._both.values():
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """What ``load_state_dict`` takes up."""
        return {name: optimizer.state_dict() for name, optimizer in self._both.items()}

    def load_state_dict(self, state: dict[str, dict[str, Any]]) -> None:
        """Goes on from a state of the same settings."""
        for name, optimizer in self._both.items():
            optimizer.load_state_dict(state[name])
