"""Lists side by side: the passages of one are the random negatives of the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from training.first_stage.gradient import softmax
from training.first_stage.lists import ScoredList
from training.first_stage.recipe import Recipe
from training.first_stage.table import Bags, Cutter
from training.static_embedder.files import Rows

Lists = Sequence[ScoredList]


@dataclass(frozen=True)
class Batch:
    """Queries and passages over the same pieces; ``wanted`` has shape [queries, passages], its rows sum to 1."""

    queries: Bags
    passages: Bags
    wanted: Rows


def side_by_side(lists: Lists, cutter: Cutter, recipe: Recipe) -> Batch:
    """All passages of ``lists``, each once; a query wants none that only other lists hold."""
    texts = list(dict.fromkeys(text for one in lists for text in one.passages))
    place = {text: column for column, text in enumerate(texts)}
    wanted = np.zeros((len(lists), len(texts)), dtype=np.float32)
    for row, one in enumerate(lists):
        np.add.at(wanted[row], [place[text] for text in one.passages], wanted_shares(one, recipe))
    queries, passages = cutter.bags([one.query for one in lists], texts)
    return Batch(queries, passages, wanted)


def wanted_shares(one: ScoredList, recipe: Recipe) -> Rows:
    """The mass that each passage of a list should have, shape [passages]."""
    shares = softmax(np.array(one.logits, dtype=np.float32) / recipe.teacher_temperature)
    judged = np.array(one.judged, dtype=np.float32)
    if not judged.any():
        return shares
    return np.asarray((1 - recipe.judged) * shares + recipe.judged * judged / judged.sum(), dtype=np.float32)


def in_order(sets: Sequence[Lists], size: int) -> Iterator[Lists]:
    """Every list once, ``size`` of one set at a time."""
    for one in sets:
        yield from (one[start : start + size] for start in range(0, len(one), size))


def shuffled(sets: Sequence[Lists], size: int, chance: np.random.Generator) -> Iterator[Lists]:
    """The same in random order, sets and lists."""
    cut = list(in_order([[one[place] for place in chance.permutation(len(one))] for one in sets], size))
    return (cut[place] for place in chance.permutation(len(cut)))
