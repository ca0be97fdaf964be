"""The strategies by name. A new one is a file beside this one and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from service.errors import NotFound
from service.ranking.strategies.eliminate import eliminate
from service.ranking.strategies.pairwise import pairwise
from service.ranking.strategies.plan import Strategy
from service.ranking.strategies.pointwise import pointwise
from service.ranking.strategies.setwise import setwise
from service.ranking.strategies.single import single
from service.ranking.strategies.sliding import sliding
from service.ranking.strategies.top_down import top_down
from service.ranking.strategies.tournament import tournament

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "single": single,
        "sliding": sliding,
        "top_down": top_down,
        "tournament": tournament,
        "setwise": setwise,
        "eliminate": eliminate,
        "pairwise": pairwise,
        "pointwise": pointwise,
    }
)

ALONE = frozenset({"pointwise"})
"""Strategies whose windows hold one passage each; all others compare passages."""


def find(name: str) -> Strategy:
    """The strategy of that name.

    Raises:
        NotFound: there is none.
    """
    try:
        return STRATEGIES[name]
    except KeyError:
        known = ", ".join(STRATEGIES)
        raise NotFound(f"no strategy of that name; there is: {known}", field="rerank.strategy") from None
