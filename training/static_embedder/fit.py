"""Fitting the student: the teacher says what a text means, the judges and the teacher what answers a query.

Each step adds three losses:

- regression: the cosine between a text's student vector and its projected teacher vector, over all texts;
- contrast: softmax cross-entropy of the judged passage among the batch's passages and mined negatives (InfoNCE);
- distillation: cross-entropy with the teacher's softmax over the same passages (listwise, ListNet's top-one form).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.static_embedder.student import Student

Ids = NDArray[np.int64]
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """How the student is fitted; temperatures divide cosines."""

    steps: int = 1_500
    queries: int = 192
    negatives: int = 3
    mined: int = 30
    texts: int = 384
    learning_rate: float = 1e-3
    weights_learning_rate: float = 1e-2
    temperature: float = 0.05
    teacher_temperature: float = 0.05
    regression: float = 4.0
    distillation: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class Lesson:
    """A text set as arrays: rows of pieces, teacher vectors [texts, dimension], (query, passage) pairs [pairs, 2]."""

    name: str
    passages: list[Ids]
    queries: list[Ids]
    pairs: Ids
    passage_targets: Rows
    query_targets: Rows


class Fitting:
    """One run over the lessons."""

    def __init__(self, student: Student, lessons: list[Lesson], recipe: Recipe) -> None:
        self._student = student
        self._lessons = lessons
        self._judged = [lesson for lesson in lessons if len(lesson.pairs)]
        self._recipe = recipe
        self._random = np.random.default_rng(recipe.seed)
        self._hard = {lesson.name: _mined(lesson, recipe.mined) for lesson in self._judged}
        self._relevant = {lesson.name: _Relevant(lesson.pairs) for lesson in self._judged}

    def run(self, report: Callable[[int, float], None]) -> None:
        """All steps; ``report`` hears the step and the loss."""
        recipe, student = self._recipe, self._student
        weights = [student.query_weights, student.passage_weights]
        optimiser = torch.optim.Adam(
            [
                {"params": [student.vectors], "lr": recipe.learning_rate},
                {"params": weights, "lr": recipe.weights_learning_rate},
            ],
            fused=True,
        )
        decay = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min(1.0, (step + 1) / 50) * (1 + math.cos(math.pi * step / recipe.steps)) / 2
        )
        for step, lesson in enumerate(self._order()):
            loss = self._ranking_loss(lesson) + recipe.regression * self._regression_loss()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            decay.step()
            report(step, loss.item())

    def _order(self) -> Iterator[Lesson]:
        """Lessons drawn by the square root of their judgements: large sets lead, small ones are heard."""
        shares = np.sqrt([len(lesson.pairs) for lesson in self._judged])
        for number in self._random.choice(len(self._judged), self._recipe.steps, p=shares / shares.sum()):
            yield self._judged[number]

    def _ranking_loss(self, lesson: Lesson) -> torch.Tensor:
        recipe = self._recipe
        chosen = self._random.choice(len(lesson.pairs), min(recipe.queries, len(lesson.pairs)), replace=False)
        queries, positives = lesson.pairs[chosen].T
        ranks = self._random.integers(recipe.mined, size=(len(queries), recipe.negatives))
        negatives = np.take_along_axis(self._hard[lesson.name][queries], ranks, axis=1)
        pool = np.unique(np.concatenate([positives, negatives.ravel()]))
        scores = self._student.queries([lesson.queries[q] for q in queries]) @ (
            self._student.passages([lesson.passages[p] for p in pool]).T
        )
        log_shares = torch.log_softmax(scores / recipe.temperature, dim=-1)
        labels = torch.from_numpy(self._relevant[lesson.name].among(queries, pool))
        contrast = -(log_shares * labels / labels.sum(1, keepdim=True)).sum(1).mean()
        taught = torch.from_numpy(lesson.query_targets[queries] @ lesson.passage_targets[pool].T)
        distilled = -(torch.softmax(taught / recipe.teacher_temperature, dim=-1) * log_shares).sum(1).mean()
        return contrast + recipe.distillation * distilled

    def _regression_loss(self) -> torch.Tensor:
        sizes = np.sqrt([len(lesson.passages) for lesson in self._lessons])
        lesson = self._lessons[self._random.choice(len(sizes), p=sizes / sizes.sum())]
        some = self._random.choice(len(lesson.passages), min(self._recipe.texts, len(lesson.passages)), replace=False)
        loss = _distance(self._student.passages([lesson.passages[i] for i in some]), lesson.passage_targets[some])
        if lesson.queries:
            asked = self._random.choice(
                len(lesson.queries), min(self._recipe.texts, len(lesson.queries)), replace=False
            )
            loss = loss + _distance(
                self._student.queries([lesson.queries[i] for i in asked]), lesson.query_targets[asked]
            )
        return loss


class _Relevant:
    """Which passages answer which queries."""

    def __init__(self, pairs: Ids) -> None:
        self._passages: dict[int, list[int]] = {}
        for query, passage in pairs.tolist():
            self._passages.setdefault(query, []).append(passage)

    def among(self, queries: Ids, pool: Ids) -> Rows:
        """1 where a passage of the sorted pool answers the query, shape [queries, pool]."""
        labels = np.zeros((len(queries), len(pool)), dtype=np.float32)
        for row, query in enumerate(queries.tolist()):
            passages = self._passages[query]
            columns = np.searchsorted(pool, passages)
            columns = columns[columns < len(pool)]
            labels[row, columns] = np.isin(pool[columns], passages)
        return labels


def _distance(vectors: torch.Tensor, targets: Rows) -> torch.Tensor:
    return 1 - (vectors * torch.from_numpy(targets)).sum(1).mean()


def _mined(lesson: Lesson, depth: int) -> Ids:
    """The passages the teacher ranks highest for each query, relevant ones among them, shape [queries, depth]."""
    found = np.empty((len(lesson.queries), depth), dtype=np.int64)
    for start in range(0, len(found), 1024):
        scores = lesson.query_targets[start : start + 1024] @ lesson.passage_targets.T
        found[start : start + 1024] = np.argpartition(-scores, depth, axis=1)[:, :depth]
    return found
