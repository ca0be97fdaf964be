"""Windows: what the model sees. Sampling with a curriculum, and the prompt itself.

Prompt: ``[QUERY] query  [A] passage [A]  [B] passage [B]  …  [QUERY] query [RANK]``. The label closes its passage as
well as opening it: a causal model can gather the passage's relevance there, and the last position then only points.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data import Collection
from training.settings import TrainSettings
from training.slots import AGAIN, FRONT, SLOT, filled
from training.vocabulary import LABEL_IDS, QUERY_ID, RANK_ID

SERVED_LABELS = 20
LONGEST_PASSAGE = SLOT - 2
_UNCUT = 0.7
_STRANGE = 0.015
_BESIDE_SPANS = 2  # passages: the fewest that can be compared, as such windows are there for the query
_LISTED_FROM = 0.1  # of the schedule
_SHIFTED = 0.15
_FIRST_STAGE_NOISE = 0.12  # of a cosine: on judgements it was fitted to, the static embedder alone is right too often


@dataclass(frozen=True)
class Window:
    """One prompt and what is known about its passages."""

    ids: list[int]
    closing: list[int]
    """Position of each passage's closing label."""
    labels: list[int]
    gold: list[bool]
    teacher: list[float]
    """The teacher's cosine of query and passage."""
    vectors: NDArray[np.float16]
    """The teacher's vectors: of each passage, then of the query."""


@dataclass(frozen=True)
class Batch:
    """Right-padded windows with equally many passages n."""

    ids: Tensor
    closing: Tensor
    last: Tensor
    labels: Tensor
    gold: Tensor
    teacher: Tensor
    vectors: Tensor
    """[batch, n + 1, width]: of the passages, then of the query."""


@dataclass(frozen=True)
class Shape:
    """How large and how hard a window is."""

    passages: int
    cut: int
    hard: float
    """Chance that a negative is a mined one."""
    shift: float = 0.0
    """Chance that the labels start later than at A, so that every label learns."""
    listed: float = 0.0
    """Chance that the passages stand in a first stage's order and not in a random one."""
    strange: float = 0.0
    """Chance that a negative is a text in a script that the vocabulary lacks (``strange.py``)."""
    spans: bool = False
    """Asked with short texts that nobody asked (``spans.py``)."""


def spell(query: list[int], passages: list[list[int]], labels: list[int]) -> tuple[list[int], list[int]]:
    """The prompt's ids and the positions of the closing labels."""
    ids, closing = [QUERY_ID, *filled(query, FRONT - 1)], []
    for label, passage in zip(labels, passages, strict=True):
        ids += [label, *filled(passage, SLOT - 2), label]
        closing.append(len(ids) - 1)
    return [*ids, QUERY_ID, *filled(query, max(len(query), AGAIN)), RANK_ID], closing


def shape_at(progress: float, random: np.random.Generator, settings: TrainSettings, spans: float = 0.0) -> Shape:
    """Windows mostly of the served sizes; at first half of their negatives are random ones, then most are mined.

    ``spans`` is the chance of windows that are there for their query.
    """
    hard = float(np.clip(0.5 + progress / 0.1, 0, 1)) * float(random.choice([1.0, 1.0, 0.9, 0.7, 0.4])) * settings.mined
    cut = LONGEST_PASSAGE if random.random() < _UNCUT else int(random.integers(24, LONGEST_PASSAGE + 1))
    if random.random() < spans:
        return Shape(_BESIDE_SPANS, cut, hard, spans=True)
    listed = settings.listed if progress > _LISTED_FROM else 0.0
    passages = int(random.choice([random.integers(4, 13), 10, SERVED_LABELS], p=[0.2, 0.45, 0.35]))
    return Shape(passages, cut, hard, _SHIFTED, listed, _STRANGE)


class WindowSampler:
    """Windows of one collection over a given part of its queries."""

    def __init__(self, collection: Collection, queries: NDArray[np.int64], random: np.random.Generator) -> None:
        self._collection, self._queries, self._random = collection, queries, random

    def sample(self, shape: Shape, query: int | None = None) -> Window:
        """A window of one query: a random one, or the one given."""
        collection, random = self._collection, self._random
        query = int(random.choice(self._queries)) if query is None else query
        chosen = self._golds(query)[: shape.passages - 1]
        if shape.hard > 0.6 and shape.shift and random.random() < 0.08:
            chosen = []  # the far end of a candidate list holds nothing relevant
        golds = len(chosen)
        chosen = chosen + self._negatives(query, shape, shape.passages - golds)
        order = self._order(query, chosen, shape)
        asked = collection.queries[query].tolist()
        passages = [collection.passages[chosen[i]][: shape.cut].tolist() for i in order]
        labels = self._labels(shape)
        ids, closing = spell(asked, passages, labels)
        vectors = np.concatenate(
            [collection.passage_vectors[[chosen[i] for i in order]], collection.query_vectors[None, query]]
        )
        cosines = vectors[:-1].astype(np.float32) @ vectors[-1].astype(np.float32)
        return Window(ids, closing, labels, [bool(i < golds) for i in order], cosines.tolist(), vectors)

    def _golds(self, query: int) -> list[int]:
        """One relevant passage, now and then two or three; mostly those the teacher finds closest."""
        collection, random = self._collection, self._random
        gold = collection.gold[query]
        count = min(len(gold), int(random.choice([1, 1, 1, 2, 3])))
        if len(gold) == count:
            return [int(i) for i in gold]
        closeness = collection.passage_vectors[gold].astype(np.float32) @ collection.query_vectors[query].astype(
            np.float32
        )
        noisy = closeness + random.gumbel(size=len(gold)) * 0.05
        return [int(i) for i in gold[np.argsort(-noisy)[:count]]]

    def _negatives(self, query: int, shape: Shape, count: int) -> list[int]:
        collection, random = self._collection, self._random
        taken = set(collection.gold[query].tolist())
        mined = collection.hard[query]
        found: list[int] = []
        while len(found) < count:
            hard = random.random() < shape.hard
            pick = int(random.choice(mined)) if hard else int(random.integers(collection.own))
            if random.random() < shape.strange:
                pick = int(random.integers(collection.own, len(collection.passages)))
            if pick < 0 or pick in taken:
                pick = int(random.integers(collection.own))
            if pick not in taken:
                taken.add(pick)
                found.append(pick)
        return found

    def _order(self, query: int, chosen: list[int], shape: Shape) -> NDArray[np.int64]:
        if self._random.random() >= shape.listed:
            return self._random.permutation(len(chosen))
        collection = self._collection
        places = collection.passage_places[chosen].astype(np.float32)
        cosines = places @ collection.query_places[query].astype(np.float32)
        return np.argsort(-cosines - self._random.normal(scale=_FIRST_STAGE_NOISE, size=len(chosen)))

    def _labels(self, shape: Shape) -> list[int]:
        late = self._random.random() < shape.shift
        start = int(self._random.integers(SERVED_LABELS - shape.passages + 1)) if late else 0
        return LABEL_IDS[start : start + shape.passages]


def collate(windows: list[Window]) -> Batch:
    """Pads windows to one batch."""
    width = max(len(window.ids) for window in windows)
    return Batch(
        ids=torch.tensor([window.ids + [0] * (width - len(window.ids)) for window in windows]),
        closing=torch.tensor([window.closing for window in windows]),
        last=torch.tensor([len(window.ids) - 1 for window in windows]),
        labels=torch.tensor([window.labels for window in windows]),
        gold=torch.tensor([window.gold for window in windows]),
        teacher=torch.tensor([window.teacher for window in windows]),
        vectors=torch.from_numpy(np.stack([window.vectors for window in windows])).float(),
    )


def batches(windows: list[Window], tokens: int) -> Iterator[Batch]:
    """Windows of similar length together, each batch of about ``tokens`` padded tokens."""
    pending: list[Window] = []
    for window in sorted(windows, key=lambda window: len(window.ids)):
        if pending and (len(pending) + 1) * len(window.ids) > tokens:
            yield collate(pending)
            pending = []
        pending.append(window)
    if pending:
        yield collate(pending)
