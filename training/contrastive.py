"""The training loop of the dense encoder: multiple-negatives ranking loss with one hard negative for each query.

What a step reads depends on the seed and the step alone. So the state of a run is the weights, the optimizer, and how
many steps and seconds are done, and a run that was interrupted ends with the same weights as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Collection as Some
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize

from service.corpus.beir import Qrels
from service.domain import TokenIds
from service.encoders.encoders import Encoders
from service.retrieval.embedding.embedder import passage_text
from training.collection import Collection, Lists

_BEFORE, _AFTER = 101, 102  # [CLS] and [SEP] of BERT's vocabulary
_REPORT = 10  # steps
_FROZEN = 3  # one of so many layers stays as it is, from below; as do the embeddings


@dataclass(frozen=True)
class Recipe:
    """Every number of a run. ``keep`` is the share of the starting weights in the result."""

    minutes: float = 60
    epochs: int = 2
    keep: float = 0.5
    seed: int = 0
    queries: int = 2500
    """The most of each set."""
    batch: int = 32
    scale: float = 20.0
    learning_rate: float = 2e-5
    weight_decay: float = 0.01
    warmup_steps: int = 10
    clip: float = 1.0
    negatives: int = 40
    """The depth of BM25's lists that hard negatives are drawn from."""
    query_tokens: int = 48
    passage_tokens: int = 96
    checkpoint_s: float = 60


@dataclass(frozen=True)
class Examples:
    """What one set is trained on: grades of the relevant documents, and hard negatives, both by query id."""

    collection: Collection
    relevant: Qrels
    negatives: Lists

    def draw(self, queries: Sequence[str], random: np.random.Generator) -> tuple[list[str], list[str]]:
        """A relevant document of each query, drawn in proportion to its grade, and a hard negative."""
        positives = []
        for query in queries:
            grades = np.array(list(self.relevant[query].values()), float)
            positives.append(str(random.choice(list(self.relevant[query]), p=grades / grades.sum())))
        return positives, [str(random.choice(self.negatives[query])) for query in queries]


def batches(sets: Sequence[Examples], size: int, seed: Sequence[int]) -> list[tuple[int, list[str]]]:
    """The batches of an epoch in random order, each as the place of its set and at most ``size`` of its queries."""
    random = np.random.default_rng(seed)
    found = []
    for place, each in enumerate(sets):
        order = random.permutation(list(each.relevant))
        found += [(place, part.tolist()) for part in np.array_split(order, -(-len(order) // size))]
    return [found[i] for i in random.permutation(len(found))]


def ranking_loss(
    queries: torch.Tensor, passages: torch.Tensor, also_relevant: torch.Tensor, scale: float
) -> torch.Tensor:
    """Mean cross-entropy of each query's own passage among all passages of the batch.

    ``queries`` [n, dimension] and ``passages`` [m, dimension] are unit vectors; passage i is that of query i.
    ``also_relevant`` [n, m] marks other passages that answer a query: they are left out.
    """
    scores = (scale * queries @ passages.T).masked_fill(also_relevant, -torch.inf)
    return cross_entropy(scores, torch.arange(len(queries)))


def also_relevant(relevant: Sequence[Some[str]], names: Sequence[str]) -> torch.Tensor:
    """Which of the passages ``names`` answer a query whose own passage is another, shape [queries, passages]."""
    return torch.tensor(
        [[name in known and place != own for place, name in enumerate(names)] for own, known in enumerate(relevant)]
    )


def unit_vectors(model: Any, texts: Sequence[TokenIds]) -> torch.Tensor:
    """Unit vectors [texts, dimension] as the exported encoder makes them: the mean of the last layer's states."""
    ids = torch.zeros(len(texts), 2 + max(map(len, texts)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text) + 2] = torch.tensor([_BEFORE, *text.tolist(), _AFTER])
        mask[row, : len(text) + 2] = 1
    with torch.autocast("cpu", torch.bfloat16):
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    return normalize((states * mask.unsqueeze(-1)).sum(dim=1), dim=-1)


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """Linear warm-up over the first steps, then linear decay to zero at a ``progress`` of 1."""
    return recipe.learning_rate * min(1.0, (step + 1) / recipe.warmup_steps) * max(0.0, 1.0 - progress)


class Run:
    """A model in training, its optimizer, and its progress. ``encoders`` gives the tokenizer of the service."""

    def __init__(self, model: Any, encoders: Encoders, sets: Sequence[Examples], recipe: Recipe, path: Path) -> None:
        self.model, self.sets, self.recipe, self.path = model, sets, recipe, path
        self._encoders = encoders
        model.eval()  # without dropout
        model.embeddings.requires_grad_(requires_grad=False)
        for layer in model.encoder.layer[: len(model.encoder.layer) // _FROZEN]:
            layer.requires_grad_(requires_grad=False)
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(self._trained, weight_decay=recipe.weight_decay)
        self._epoch_steps = len(self._batches(0))
        self.steps = recipe.epochs * self._epoch_steps
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []

    @property
    def progress(self) -> float:
        """The share of the steps or of the minutes that is done, whichever is greater."""
        return max(self.step / self.steps, self.seconds / (60 * self.recipe.minutes))

    def train(self) -> None:
        """Train to the end, from the checkpoint if there is one."""
        if self.path.exists():
            self._resume()
        saved = time.monotonic()
        while self.progress < 1:
            began = time.monotonic()
            self._one_step()
            self.seconds += time.monotonic() - began
            if time.monotonic() - saved >= self.recipe.checkpoint_s:
                self._save()
                saved = time.monotonic()
        self._save()

    def _one_step(self) -> None:
        epoch, place = divmod(self.step, self._epoch_steps)
        which, queries = self._batches(epoch)[place]
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step, self.progress)
        loss = self._loss(self.sets[which], queries)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._trained, self.recipe.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.losses.append(loss.item())
        if self.step % _REPORT == 0:
            shown = np.mean(self.losses[-_REPORT:])
            print(f"step {self.step} of {self.steps}  loss {shown:.3f}  {self.progress:.0%}", flush=True)

    def _loss(self, examples: Examples, queries: Sequence[str]) -> torch.Tensor:
        positives, negatives = examples.draw(queries, np.random.default_rng([self.recipe.seed, 1, self.step]))
        names = [*positives, *negatives]
        collection = examples.collection
        asked = self._encoders.tokens([collection.queries[query] for query in queries], self.recipe.query_tokens)
        texts = [passage_text(collection.corpus[name]) for name in names]
        passages = self._encoders.tokens(texts, self.recipe.passage_tokens)
        others = also_relevant([examples.relevant[query] for query in queries], names)
        vectors = unit_vectors(self.model, asked), unit_vectors(self.model, passages)
        return ranking_loss(*vectors, others, self.recipe.scale)

    def _batches(self, epoch: int) -> list[tuple[int, list[str]]]:
        return batches(self.sets, self.recipe.batch, [self.recipe.seed, 0, epoch])

    def _save(self) -> None:
        """Write the checkpoint, replacing the last one in one move."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "progress": (self.step, self.seconds, self.losses),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, self.path.with_suffix(".tmp"))
        self.path.with_suffix(".tmp").replace(self.path)

    def _resume(self) -> None:
        state = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.losses = state["progress"]
        print(f"continuing at step {self.step} of {self.steps}", flush=True)
