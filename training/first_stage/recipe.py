"""Every number of a fit."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How far and by what the table moves.

    A step takes ``lists`` lists of one set. Cosines are divided by ``temperature``, the reranker's logits by
    ``teacher_temperature``. Judged passages of a list share ``judged`` of the wanted mass, the reranker's softmax the
    rest. ``pull`` is the weight of half the squared distance to the start (L2-SP, arXiv 1802.01483).
    """

    epochs: int = 6
    lists: int = 16
    rate: float = 0.008
    pull: float = 1e-4
    temperature: float = 0.05
    teacher_temperature: float = 1.0
    judged: float = 0.0
    seed: int = 0
