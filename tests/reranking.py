"""Reranking that admits everything, for tests of what lies around it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from service.admission.admission import Admission
from service.observability.events import Observers
from service.ranking.profile import find
from service.reranking import Reranking
from service.settings import Overflow


def unbounded() -> Reranking:
    """No limit on what is under way, and no plan made cheaper."""
    return Reranking(Admission(math.inf, Observers()), overflow=Overflow.FIRST_STAGE, ladder=False)


PROFILES = Path(__file__).parent / "profiles"
"""Profiles that only tests use."""

RANKING: dict[str, Any] = {"profile": "listwise", "profiles_directory": PROFILES}
"""The setting ``ranking`` of a service that compares passages in windows, for tests without a hub."""

LISTWISE = find("listwise", PROFILES).model_copy(
    update={"window": 10, "stride": 5, "passage_tokens": 80, "context_tokens": 2047}
)
"""Windows of ten, one after the other: for tests of plans that read nothing."""
