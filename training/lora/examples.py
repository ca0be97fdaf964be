"""Windows to train on: prompts as the service builds them from the profile, and what the judgements say of them.

A window shows relevant passages of a query, at most half of it, among passages that BM25 finds and nobody judged
relevant. What no judgement tells apart stays untold: passages of equal grade make no pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from service.domain import Document
from service.engine.scorer import Prompt
from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder
from service.ranking.readings import Reading
from training.bm25 import BM25
from training.data import Source
from training.errors import UnusableInput

_AT_ONCE = 256


@dataclass(frozen=True)
class Example:
    """One window: its prompt, and the grade of each passage in the order shown, 0 where there is no judgement."""

    prompt: Prompt
    grades: tuple[int, ...]


class Windows:
    """Windows of a collection's queries under one profile; ``size`` is the most passages in one.

    Raises:
        UnusableInput: the profile's answer is no label logits of a window.
        ProfileError: see ``PromptBuilder``.
    """

    def __init__(self, source: Source, profile: Profile, mined: int, listed: float) -> None:
        if profile.reading is not Reading.LISTWISE:
            raise UnusableInput(f"profile {profile.name}: its reading is {profile.reading}, only listwise is trained")
        self.queries = list(source.relevant)
        self._source, self._listed = source, listed
        self._builder, self.size = PromptBuilder(profile), profile.window
        self._found = _mined(source, self.queries, mined)

    def draw(self, query: str, random: np.random.Generator) -> Example:
        """A window of one query with at least one relevant passage and one other."""
        relevant = self._source.relevant[query]
        found = self._found[query]
        golds = [str(name) for name in random.permutation(list(relevant))[: max(1, self.size // 2)]]
        others = [name for name in found if name not in relevant]
        count = min(len(others), self.size - len(golds))
        shown = golds + [others[i] for i in random.choice(len(others), count, replace=False)]
        order = random.permutation(len(shown))
        if random.random() < self._listed:
            place = {name: rank for rank, name in enumerate(found)}
            order = np.argsort([place.get(name, len(found)) for name in shown], kind="stable")
        names = [shown[i] for i in order]
        return Example(self.prompt(query, names), tuple(relevant.get(name, 0) for name in names))

    def prompt(self, query: str, names: Sequence[str]) -> Prompt:
        """The window that shows these documents in this order."""
        documents = [Document(name, self._source.corpus[name]) for name in names]
        passages = [passage.ids for passage in self._builder.encode(documents)]
        return self._builder.build(self._builder.query_ids(self._source.queries[query]), passages)


def _mined(source: Source, queries: list[str], mined: int) -> dict[str, list[str]]:
    """BM25's best documents of each query, ``mined`` of them beside the relevant ones."""
    names = list(source.corpus)
    index = BM25(list(source.corpus.values()))
    found = {}
    for start in range(0, len(queries), _AT_ONCE):
        asked = queries[start : start + _AT_ONCE]
        scores = torch.from_numpy(index.scores([source.queries[query] for query in asked]))
        for query, row in zip(asked, scores, strict=True):
            best = row.topk(min(len(names), mined + len(source.relevant[query]))).indices.tolist()
            found[query] = [names[i] for i in best]
    return found
