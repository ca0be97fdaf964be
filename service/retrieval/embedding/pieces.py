"""Long passages in pieces that an encoder reads one by one.

The first piece is what an encoder reads of a passage at request time: the beginning of ``passage_text``, so that both
readings give the same vector. Each further piece begins with the title, because a part in the middle seldom says what
it is about, and repeats the last tokens of the piece before, so that no sentence is read in halves only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from service.domain import Document, TokenIds
from service.encoders.encoders import PIECE_TOKENS, Encoders
from service.retrieval.embedding.embedder import passage_text

MOST_PIECES = 16
"""Of one passage. They hold its first 3,584 tokens, or 2,624 with a title of 64; what is behind is found by full text
alone."""

OVERLAP = 32
TITLE_TOKENS = 64

_MOST_TOKENS = PIECE_TOKENS + (MOST_PIECES - 1) * (PIECE_TOKENS - OVERLAP)


def pieces(encoders: Encoders, documents: Sequence[Document]) -> list[list[TokenIds]]:
    """The token ids of each document's pieces, at least one and at most ``MOST_PIECES``."""
    texts = [passage_text(document) for document in documents]
    firsts = encoders.tokens(texts)
    wholes = encoders.tokens(texts, _MOST_TOKENS)
    titles = encoders.tokens([document.title for document in documents], TITLE_TOKENS)
    return [
        [first, *_further(title, whole[max(0, len(first) - OVERLAP) :])] if len(whole) > len(first) else [first]
        for first, whole, title in zip(firsts, wholes, titles, strict=True)
    ]


def _further(title: TokenIds, rest: TokenIds) -> Iterator[TokenIds]:
    """Pieces of what is behind the first one, each with the title before it."""
    room = PIECE_TOKENS - len(title)
    for number in range(MOST_PIECES - 1):
        start = number * (room - OVERLAP)
        yield np.concatenate([title, rest[start : start + room]])
        if start + room >= len(rest):
            return
