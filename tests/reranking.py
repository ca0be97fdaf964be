"""Reranking that admits everything, for tests of what lies around it."""

from __future__ import annotations

import math

from service.admission.admission import Admission
from service.observability.events import Observers
from service.reranking import Reranking
from service.settings import Overflow


def unbounded() -> Reranking:
    """No limit on what is under way, and no plan made cheaper."""
    return Reranking(Admission(math.inf, Observers()), overflow=Overflow.FIRST_STAGE, ladder=False)
