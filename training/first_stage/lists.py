"""Lists as the reranker reads them: a query, passages that the first stage found, and a logit for each.

Half of a list is the best that the first stage has; the other half is drawn from what it ranks below, where a passage
stands that it should have ranked higher. One window holds a list, so that its logits compare.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from service.corpus.beir import BeirFolder, Qrels, Queries
from service.deadline import Deadline
from service.domain import Candidate, RetrievalMode
from service.ranking.ranker import Ranker
from service.retrieval.embedding.embedder import passage_text
from service.retrieval.first_stage import FirstStage

DEPTH = 200
TRAIN = "train"
_SINGLE = "single"
_NEVER = Deadline.never()


@dataclass(frozen=True)
class ScoredList:
    """A query, the passages shown, the reranker's logit of each and whether it is judged relevant, all [passages]."""

    query: str
    passages: list[str]
    logits: list[float]
    judged: list[bool]


def train_queries(folder: BeirFolder, limit: int, seed: int) -> Queries:
    """At most ``limit`` queries, drawn with ``seed``: those of ``qrels/train.tsv``, any where nothing is judged at all.

    Raises:
        InvalidInput: there are judgements, and none to learn from.
    """
    queries = folder.queries()
    names = sorted(train_qrels(folder).keys() & queries.keys() if _is_judged(folder) else queries)
    random.Random(seed).shuffle(names)  # so that a larger limit adds to the same queries
    return {name: queries[name] for name in names[:limit]}


def train_qrels(folder: BeirFolder) -> Qrels:
    """The judgements to learn from; none where nothing is judged. Raises ``InvalidInput`` where all are for tests."""
    return folder.qrels(TRAIN) if _is_judged(folder) else {}


async def read_lists(
    first_stage: FirstStage, ranker: Ranker, queries: Queries, qrels: Qrels, kept: Path
) -> list[ScoredList]:
    """A list for each of ``queries``, which are appended to ``kept`` one by one; what is there is not read again.

    Raises:
        RetrievalError, EngineError: a search or a window failed.
        InvalidInput: the profile cannot be asked about one window.
    """
    lists = {one.query: one for one in kept_lists(kept)}
    with kept.open("a", encoding="utf-8") as file:
        for name, query in queries.items():
            if query not in lists:
                lists[query] = await _scored(first_stage, ranker, name, query, qrels.get(name, {}))
                file.write(json.dumps(asdict(lists[query])) + "\n")
                file.flush()
    return [lists[query] for query in queries.values()]


def kept_lists(path: Path) -> list[ScoredList]:
    """What ``read_lists`` has kept so far."""
    if not path.exists():
        return []
    return [ScoredList(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


async def _scored(
    first_stage: FirstStage, ranker: Ranker, name: str, query: str, grades: Mapping[str, int]
) -> ScoredList:
    found = await first_stage.retrieve(query, DEPTH, RetrievalMode.HYBRID, _NEVER)
    shown = _drawn(found.candidates, ranker.profile.window, random.Random(name))
    outcome = await ranker.rank(query, shown, strategy=_SINGLE, top_k=len(shown), deadline=_NEVER)
    if outcome.error is not None:
        raise outcome.error
    (reading,) = outcome.ranking.readings
    documents = [shown[position].document for position in reading.window]
    judged = [grades.get(document.id, 0) > 0 for document in documents]
    return ScoredList(query, [passage_text(document) for document in documents], [*reading.logits], judged)


def _drawn(candidates: tuple[Candidate, ...], count: int, chance: random.Random) -> list[Candidate]:
    """The best of ``candidates``, then some of the others, in their order."""
    best, others = candidates[: count // 2], candidates[count // 2 :]
    places = sorted(chance.sample(range(len(others)), min(count - len(best), len(others))))
    return [*best, *(others[place] for place in places)]


def _is_judged(folder: BeirFolder) -> bool:
    return (folder.path / "qrels").exists()
