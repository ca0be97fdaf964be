"""Throughput of the static embedder: ``python loadtest/embedding.py [--passages 20000]``.

Passages a second over the demo corpus as it is and over passages of 60 words cut from it: once by an embedder that has
seen no word yet, once more by the same one.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from itertools import cycle, islice

from service.corpus.stdlib_docs import StdlibDocs
from service.deadline import Deadline
from service.domain import Document
from service.retrieval.embedding.embedder import passage_text
from service.retrieval.embedding.static import StaticEmbedder

WORDS = 60
BATCH = 1024


async def rate(embedder: StaticEmbedder, texts: Sequence[str]) -> float:
    """Passages a second."""
    started = time.perf_counter()
    for start in range(0, len(texts), BATCH):
        documents = [Document("", text) for text in texts[start : start + BATCH]]
        await embedder.embed_passages(documents, Deadline.never())
    return len(texts) / (time.perf_counter() - started)


def cuts(texts: Sequence[str], count: int) -> list[str]:
    """``count`` passages of ``WORDS`` words from random places."""
    words = [word for text in texts for word in text.split()]
    generator = random.Random(7)
    starts = [generator.randrange(len(words) - WORDS) for _ in range(count)]
    return [" ".join(words[start : start + WORDS]) for start in starts]


async def main() -> None:
    """Print both rates for both kinds of passages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=20_000)
    count = parser.parse_args().passages
    demo = [passage_text(document) for document in StdlibDocs().documents()]
    kinds = {"demo corpus": list(islice(cycle(demo), count)), f"{WORDS} words": cuts(demo, count)}
    for kind, texts in kinds.items():
        embedder = StaticEmbedder()
        first, again = await rate(embedder, texts), await rate(embedder, texts)
        print(f"{kind}: {first:,.0f} passages/s at first, {again:,.0f} once its words are known")


if __name__ == "__main__":
    asyncio.run(main())
