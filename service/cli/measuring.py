"""Putting judged queries to the pipeline that the settings make, once for each way to rank."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from service.cli.building import build
from service.cli.progress import progress
from service.corpus.candidate_lists import CandidateList
from service.corpus.source import Source
from service.errors import InvalidInput
from service.evaluation.curve import MakePlan
from service.evaluation.evaluate import Conditions, Measured, Progress, evaluate_rerank, evaluate_search
from service.evaluation.findings import Found
from service.house import build_pipeline
from service.pipeline import Pipeline
from service.ranking.ranker import Ranker
from service.ranking.strategies.plan import Plan
from service.settings import Settings

T = TypeVar("T")

Measure = Callable[[Pipeline, Conditions, Progress], Coroutine[Any, Any, list[Measured]]]
"""Puts all queries to a pipeline."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How many of the judged queries are asked, all where there is no ``limit``: the first, or drawn with ``seed``."""

    limit: int | None = None
    seed: int | None = None

    def of(self, things: Iterable[T]) -> list[T]:
        """Those of ``things``, in their order. Raises ``InvalidInput`` where there are none."""
        if self.limit is None or self.seed is None:
            found = list(islice(things, self.limit))
        else:
            everything = list(things)
            drawn = random.Random(self.seed).sample(range(len(everything)), min(self.limit, len(everything)))
            found = [everything[place] for place in sorted(drawn)]
        if not found:
            raise InvalidInput("none of the folder's queries is judged in those qrels", field="qrels")
        return found


async def rerank_lists(settings: Settings, lists: Sequence[CandidateList], ways: Mapping[str, Conditions]) -> Found:
    """Rerank ``lists`` in each of ``ways``. They are a first stage's: its order counts as in a search."""

    def measure(pipeline: Pipeline, way: Conditions, shown: Progress) -> Coroutine[Any, Any, list[Measured]]:
        return evaluate_rerank(pipeline, lists, _as_in_a_search(way, pipeline), shown)

    with TemporaryDirectory() as nothing:  # reranking needs no index, so none is opened
        async with build_pipeline(_in_directory(settings, nothing)) as pipeline:
            return await _found(pipeline, ways, len(lists), measure)


async def search_queries(
    settings: Settings, queries: Mapping[str, str], corpus: Source | None, ways: Mapping[str, Conditions]
) -> Found:
    """Search for ``queries`` in each of ``ways``: in a new index of ``corpus``, or else in the indexes there are."""

    def measure(pipeline: Pipeline, way: Conditions, shown: Progress) -> Coroutine[Any, Any, list[Measured]]:
        return evaluate_search(pipeline, queries, way, shown)

    with ExitStack() as stack:
        if corpus is not None:
            directory = stack.enter_context(TemporaryDirectory(prefix="onepass-"))
            settings = _in_directory(settings, directory)
            await build(Path(directory) / corpus.name, corpus, settings)
        async with build_pipeline(settings) as pipeline:
            return await _found(pipeline, ways, len(queries), measure)


async def _found(pipeline: Pipeline, ways: Mapping[str, Conditions], count: int, measure: Measure) -> Found:
    measurements: dict[str, list[Measured]] = {}
    plans: dict[str, MakePlan] = {}
    for name, way in ways.items():
        ranker = pipeline.rankers[way.rerank.profile or pipeline.default_profile]
        plans[name] = partial(_plan, ranker, way.top_k)
        with progress(name, "queries", count) as shown:
            measurements[name] = await measure(pipeline, way, shown)
    return Found(measurements, plans)


def _as_in_a_search(way: Conditions, pipeline: Pipeline) -> Conditions:
    if way.rerank.first_stage_weight is not None:
        return way
    profile = pipeline.rankers[way.rerank.profile or pipeline.default_profile].profile
    return replace(way, rerank=replace(way.rerank, first_stage_weight=profile.first_stage_weight))


def _plan(ranker: Ranker, top_k: int, count: int, strategy: str) -> Plan:
    return ranker.plan(count, strategy=strategy, top_k=top_k)


def _in_directory(settings: Settings, directory: str) -> Settings:
    indexes = settings.indexes.model_copy(update={"directory": Path(directory), "default": None})
    return settings.model_copy(update={"indexes": indexes})
