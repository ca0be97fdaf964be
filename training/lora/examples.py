"""Windows to train on: prompts as the service builds them from the profile, with the grades of their passages.

A window shows relevant passages of a query, at most half of it, among passages that BM25 finds and nobody judged
relevant.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.engine.scorer import Prompt
from service.errors import ProfileError
from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder
from service.ranking.readings import Reading
from training.collection import Collection, bm25
from training.lora.recipe import Recipe


@dataclass(frozen=True)
class Example:
    """One window: its prompt, and the grade of each passage in the order shown, 0 where there is no judgement."""

    prompt: Prompt
    grades: tuple[int, ...]


class Windows:
    """Windows of a collection's queries under one profile; ``size`` is the most passages in one.

    Raises:
        ProfileError: the profile does not read label logits of a window, or see ``PromptBuilder``.
    """

    def __init__(self, collection: Collection, profile: Profile, recipe: Recipe) -> None:
        if profile.reading is not Reading.LISTWISE:
            raise ProfileError(f"profile {profile.name}: reading is {profile.reading}, only listwise can be trained")
        self.queries = list(collection.qrels)
        self._collection, self._recipe = collection, recipe
        self._builder, self.size = PromptBuilder(profile), profile.window
        widest = max(map(len, collection.qrels.values()))
        self._found = bm25(collection, self.queries, recipe.mined + widest)

    def draw(self, query: str, random: np.random.Generator) -> Example:
        """A window of one query with at least one relevant passage."""
        relevant, found = self._collection.qrels[query], self._found[query]
        golds = [str(name) for name in random.permutation(list(relevant))[: max(1, self.size // 2)]]
        others = [name for name in found if name not in relevant][: self._recipe.mined]
        shown = golds + [str(name) for name in random.permutation(others)[: self.size - len(golds)]]
        order = random.permutation(len(shown))
        if random.random() < self._recipe.listed:
            place = {name: rank for rank, name in enumerate(found)}
            order = np.argsort([place.get(name, len(found)) for name in shown], kind="stable")
        names = [shown[i] for i in order]
        return Example(self.prompt(query, names), tuple(relevant.get(name, 0) for name in names))

    def prompt(self, query: str, names: Sequence[str]) -> Prompt:
        """The window that shows these documents in this order."""
        documents = [self._collection.corpus[name] for name in names]
        passages = [passage.ids for passage in self._builder.encode(documents)]
        return self._builder.build(self._builder.query_ids(self._collection.queries[query]), passages)
