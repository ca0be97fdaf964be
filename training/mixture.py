"""All collections together: which window comes from which, and what is held out."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.data import Collection, load_collection
from training.settings import Settings
from training.spans import SPANS
from training.strange import STRANGE, Strange, load_strange
from training.windows import Shape, Window, WindowSampler

_DEV_SHAPE = Shape(passages=20, cut=78, hard=0.9)


def joined(collection: Collection, strange: Strange) -> Collection:
    """The collection with strange texts behind its own."""
    places = np.zeros((len(strange.passages), collection.passage_places.shape[1]), np.float16)
    return replace(
        collection,
        passages=[*collection.passages, *strange.passages],
        passage_vectors=np.concatenate([collection.passage_vectors, strange.vectors]),
        passage_places=np.concatenate([collection.passage_places, places]),
        own=len(collection.passages),
    )


class Mixture:
    """All collections, some queries of each held out; a share is the weight times the root of the queries."""

    def __init__(self, folder: Path, settings: Settings, random: np.random.Generator) -> None:
        self._random = random
        strange = load_strange(folder / STRANGE)
        self._samplers, shares, self.dev = [], [], []
        for name, weight in settings.data.weights.items():
            if not (folder / f"{name}.npz").exists():
                continue
            collection = joined(load_collection(folder / f"{name}.npz"), strange)
            fixed = np.random.default_rng(settings.seed)
            order = fixed.permutation(len(collection.queries))
            held, kept = order[: settings.data.dev_queries], order[settings.data.dev_queries :]
            self._samplers.append(WindowSampler(collection, kept, random))
            shares.append(weight * math.sqrt(len(kept)))
            dev = WindowSampler(collection, held, fixed)
            if held.size:
                self.dev.append((name, [dev.sample(_DEV_SHAPE, int(query)) for query in held]))
        self._shares = np.array(shares) / sum(shares)
        self._spans = self._of_spans(folder / f"{SPANS}.npz", strange)
        self.spans = settings.train.spans if self._spans else 0.0
        """Share of the steps that shows them: none where they were not prepared."""

    def _of_spans(self, path: Path, strange: Strange) -> WindowSampler | None:
        if not path.exists():
            return None
        collection = joined(load_collection(path), strange)
        return WindowSampler(collection, np.arange(len(collection.queries)), self._random)

    def sample(self, shape: Shape, count: int) -> list[Window]:
        """Windows of one shape, their collections drawn by share."""
        if shape.spans and self._spans is not None:
            return [self._spans.sample(shape) for _ in range(count)]
        picks = self._random.choice(len(self._samplers), count, p=self._shares)
        return [self._samplers[i].sample(shape) for i in picks]
