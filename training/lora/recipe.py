"""Every number of a run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Adapter, schedule and objective of LoRA fine-tuning.

    A forward pass takes ``batch_tokens`` tokens with padding, a step ``accumulate`` of them. The share ``listed`` of
    the windows is in BM25's order, as a first stage shows them; the rest is shuffled. ``mined`` is how many of BM25's
    documents are negatives, ``rank_weight`` the weight of RankNet next to the language model's loss.
    """

    rank: int = 16
    alpha: int = 32
    epochs: int = 3
    learning_rate: float = 1e-4
    warmup_steps: int = 20
    weight_decay: float = 0.0
    clip: float = 1.0
    batch_tokens: int = 16_384
    accumulate: int = 4
    checkpoint_minutes: float = 10
    mined: int = 40
    listed: float = 0.5
    rank_weight: float = 10.0
    seed: int = 13
