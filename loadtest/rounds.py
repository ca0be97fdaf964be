"""Do the windows of a round travel together? ``python -m loadtest.rounds [--windows 9] [--times 20]``.

Times one full window against a round of several, each never asked before, with the engine and the profile that the
environment names (``ONEPASS_ENGINE__…``, ``ONEPASS_RANKING__PROFILE``); the embedded one where it names none.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Sequence

from service.corpus.stdlib_docs import StdlibDocs
from service.deadline import Deadline
from service.domain import Document
from service.engine.scorer import Prompt, Scorer
from service.engines import build_ranker
from service.ranking.prompt import PromptBuilder
from service.settings import load

WORDS = 60


class Supply:
    """Full windows of passages of ``WORDS`` words, no two alike."""

    def __init__(self, builder: PromptBuilder) -> None:
        self._builder = builder
        self._words = [word for document in StdlibDocs().documents() for word in document.text.split()]
        self._dice = random.Random(7)

    def take(self, windows: int) -> list[Prompt]:
        """Prompts of so many windows."""
        return [self._window() for _ in range(windows)]

    def _window(self) -> Prompt:
        size = self._builder.profile.window
        texts = [" ".join(self._dice.sample(self._words, WORDS)) for _ in range(size)]
        passages = self._builder.encode([Document("", text) for text in texts])
        return self._builder.build(self._builder.query_ids(texts[0][:40]), [passage.ids for passage in passages])


async def took_ms(scorer: Scorer, prompts: Sequence[Prompt]) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    await scorer.score(prompts, Deadline.never())
    return (time.perf_counter() - started) * 1000


async def main() -> None:
    """Measure both, turn by turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=9)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    ranker = build_ranker(load())
    await ranker.scorer.open()
    try:
        supply = Supply(ranker.builder)
        await took_ms(ranker.scorer, supply.take(options.windows))  # warms up
        pairs = [
            [await took_ms(ranker.scorer, supply.take(windows)) for windows in (1, options.windows)]
            for _ in range(options.times)
        ]
    finally:
        await ranker.scorer.close()
    one, many = (statistics.median(each) for each in zip(*pairs, strict=True))
    print(
        f"{ranker.scorer.model}, windows of {ranker.profile.window}: one {one:.1f} ms, a round of {options.windows} "
        f"{many:.1f} ms, {many / one:.1f} times as long (medians of {options.times})"
    )


if __name__ == "__main__":
    asyncio.run(main())
