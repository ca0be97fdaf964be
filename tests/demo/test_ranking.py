"""The encoders earn their place: on the judged questions they rank above the first stage that they reorder."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.corpus.beir import BeirFolder
from service.demo import JUDGED
from service.evaluation.evaluate import Conditions, evaluate_search
from service.evaluation.report import report
from service.house import build_pipeline
from service.settings import IndexSettings, Settings


@pytest.mark.anyio
async def test_the_default_ranks_above_the_first_stage(demo_indexes: Path) -> None:
    folder = BeirFolder(JUDGED)
    conditions = Conditions(timeout_ms=60_000)
    async with build_pipeline(Settings(indexes=IndexSettings(directory=demo_indexes))) as pipeline:
        measured = await evaluate_search(pipeline, folder.queries(), conditions)
    figures = report(measured, folder.qrels())

    assert figures.degraded == 0
    assert figures.queries >= 60
    assert figures.reranked.scores.ndcg_at_10 > figures.first_stage.scores.ndcg_at_10
    assert figures.reranked.scores.mrr_at_10 > figures.first_stage.scores.mrr_at_10
