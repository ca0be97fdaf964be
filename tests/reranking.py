"""Reranking that admits everything, for tests of what lies around it."""

from __future__ import annotations

import math

from service.admission.admission import Admission
from service.observability.events import Observers
from service.ranking.profile import find
from service.reranking import Reranking
from service.settings import Overflow


def unbounded() -> Reranking:
    """No limit on what is under way, and no plan made cheaper."""
    return Reranking(Admission(math.inf, Observers()), overflow=Overflow.FIRST_STAGE, ladder=False)


WITHOUT_SLOTS = find("onepass-mini").model_copy(
    update={
        "slots": None,
        "reference": None,
        "strategy": "sliding",
        "window": 10,
        "stride": 5,
        "passage_tokens": 80,
        "context_tokens": 2047,
    }
)
"""Prompts as short as their texts, in windows of ten, one after the other: for tests of plans that read nothing."""
