"""The weights that ship, on windows of this project's own documents: where a passage stands says nothing of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.deadline import Deadline
from service.domain import Document
from service.engine.onnx import onnx_scorer
from service.ranking.profile import find
from service.ranking.prompt import PromptBuilder

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).parents[2] / "docs"
PASSAGES = 20


def documents() -> list[Document]:
    paragraphs = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))).split("\n\n")
    shown = [text for text in paragraphs if len(text) > 80][::8][:PASSAGES]
    return [Document(str(number), text) for number, text in enumerate(shown)]


async def test_a_passage_gets_the_same_logit_in_every_slot() -> None:
    """The same twenty passages stand in every slot in turn; one that is heard too loudly would favour all of them."""
    profile = find("onepass-mini")
    builder = PromptBuilder(profile)
    query, passages = builder.query_ids("what happens when the engine is down"), builder.encode(documents())
    turns = [[(first + place) % PASSAGES for place in range(PASSAGES)] for first in range(PASSAGES)]
    scorer = onnx_scorer(profile.directory)
    answers = await scorer.score(
        [builder.build(query, [passages[shown].ids for shown in turn]) for turn in turns], Deadline.never()
    )
    await scorer.close()

    logits = np.empty((PASSAGES, PASSAGES))  # by passage and slot
    for turn, answer in zip(turns, answers, strict=True):
        logits[turn, range(PASSAGES)] = profile.scores([answer])
    moved = logits - logits.mean(1, keepdims=True)
    assert np.abs(moved.mean(0)).max() < 0.3
    assert moved.std() < 0.2
