"""The strategies by name. A new one is a file beside this one and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from service.errors import InvalidInput, NotFound
from service.ranking.strategies.eliminate import eliminate
from service.ranking.strategies.full import full
from service.ranking.strategies.groupwise import groupwise
from service.ranking.strategies.merge import merge
from service.ranking.strategies.pairwise import pairwise
from service.ranking.strategies.plan import Plan, PlanOptions, Strategy
from service.ranking.strategies.pointwise import pointwise
from service.ranking.strategies.self_consistency import self_consistency
from service.ranking.strategies.setwise import setwise
from service.ranking.strategies.single import single
from service.ranking.strategies.sliding import sliding
from service.ranking.strategies.top_down import top_down
from service.ranking.strategies.tournament import tournament
from service.ranking.strategies.tourrank import tourrank


@dataclass(frozen=True, slots=True)
class Entry:
    """A strategy, and the parameters of a request that it goes by; any other is refused."""

    strategy: Strategy
    takes: frozenset[str]


def _self_consistency(count: int, options: PlanOptions) -> Plan:
    """``self_consistency`` of the plan that the strategy ``over`` makes, top-down partitioning unless told."""
    return self_consistency(find(_over(options.over))(count, options), options.shuffles, options.aggregate)


def _over(name: str | None) -> str:
    if name is None:
        return "top_down"
    if name not in OVER:
        raise InvalidInput(f"it is over one of {', '.join(sorted(OVER))}", field="rerank.parameters.over")
    return name


def _entry(strategy: Strategy, *takes: str) -> Entry:
    return Entry(strategy, frozenset(takes))


STRATEGIES: Mapping[str, Entry] = MappingProxyType(
    {
        "single": _entry(single, "window"),
        "sliding": _entry(sliding, "window", "stride", "passes"),
        "top_down": _entry(top_down, "window", "pivot", "budget"),
        "merge": _entry(merge, "window"),
        "tournament": _entry(tournament, "window"),
        "tourrank": _entry(tourrank, "window", "passes"),
        "setwise": _entry(setwise, "window", "sort", "passes"),
        "eliminate": _entry(eliminate, "window"),
        "pairwise": _entry(pairwise, "sort", "passes"),
        "full": _entry(full),
        "self_consistency": _entry(_self_consistency, "over", "shuffles", "aggregate"),
        "groupwise": _entry(groupwise, "window"),
        "pointwise": _entry(pointwise),
    }
)

ALONE = frozenset({"pointwise"})
"""Strategies whose windows hold one passage each, all that goes with prompts of one; others show passages together."""

ABSOLUTE = ALONE | {"groupwise"}
"""Strategies that compare scores of different windows, for readings that allow it."""

OVER = STRATEGIES.keys() - ABSOLUTE - {"self_consistency"}
"""Strategies whose windows can be shown in several orders."""


def find(name: str) -> Strategy:
    """The strategy of that name.

    Raises:
        NotFound: there is none.
    """
    return _find(name).strategy


def takes(name: str, over: str | None = None) -> frozenset[str]:
    """Names of the parameters that a strategy goes by, with those of the strategy that it is ``over``.

    Raises:
        NotFound, InvalidInput: there is no such strategy.
    """
    own = _find(name).takes
    return own | _find(_over(over)).takes if "over" in own else own


def _find(name: str) -> Entry:
    try:
        return STRATEGIES[name]
    except KeyError:
        known = ", ".join(STRATEGIES)
        raise NotFound(f"no strategy of that name; there is: {known}", field="rerank.strategy") from None
