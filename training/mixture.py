"""All collections together: which window comes from which, and what is held out."""

import math
from pathlib import Path

import numpy as np

from training.data import load_collection
from training.settings import Settings
from training.windows import Shape, Window, WindowSampler

_DEV_SHAPE = Shape(passages=20, cut=78, hard=0.9)


class Mixture:
    """All collections, some queries of each held out; a share is the weight times the root of the queries."""

    def __init__(self, folder: Path, settings: Settings, random: np.random.Generator) -> None:
        self._random = random
        self._samplers, shares, self.dev = [], [], []
        for name, weight in settings.data.weights.items():
            if not (folder / f"{name}.npz").exists():
                continue
            collection = load_collection(folder / f"{name}.npz")
            fixed = np.random.default_rng(settings.seed)
            order = fixed.permutation(len(collection.queries))
            held, kept = order[: settings.data.dev_queries], order[settings.data.dev_queries :]
            self._samplers.append(WindowSampler(collection, kept, random))
            shares.append(weight * math.sqrt(len(kept)))
            dev = WindowSampler(collection, held, fixed)
            self.dev.append((name, [dev.sample(_DEV_SHAPE, int(query)) for query in held]))
        self._shares = np.array(shares) / sum(shares)

    def sample(self, shape: Shape, count: int) -> list[Window]:
        """Windows of one shape, their collections drawn by share."""
        picks = self._random.choice(len(self._samplers), count, p=self._shares)
        return [self._samplers[i].sample(shape) for i in picks]
