"""What a plan costs before it is run: windows by simulation, tokens from the profile's budgets.

An estimate is enough: the rate at which work is done is measured in the same estimated tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from service.domain import Candidate, Window
from service.ranking.prompt import PromptBuilder
from service.ranking.readings import Reading
from service.ranking.strategies.comparing import check_prompts
from service.ranking.strategies.plan import PlanOptions
from service.ranking.strategies.registry import find
from service.ranking.strategies.simulation import simulate

CHARS_PER_TOKEN = 4
"""Of English text, about."""


@dataclass(frozen=True, slots=True)
class PlanCost:
    """Prompts of a plan, the rounds they come in, and about how many tokens they hold together."""

    prompts: int
    rounds: int
    tokens: int


@lru_cache(maxsize=8192)  # auto asks for some fifteen plans of a size
def _size(strategy: str, count: int, options: PlanOptions, *, each: bool) -> tuple[int, int, int]:
    """The most prompts of a plan, its rounds, and how many passages are shown, those shown twice counted twice.

    ``each`` says that a window takes a prompt for each of its passages.

    The comparator prefers what the first stage had last, so that no strategy comes to an early end.
    """
    prompts = shown = 0

    def last_first(window: Window) -> Window:
        nonlocal prompts, shown
        asked = len(window) if each else 1
        prompts, shown = prompts + asked, shown + asked * len(window)
        check_prompts(prompts, options)
        return window

    rounds = simulate(find(strategy)(count, options), last_first).rounds
    return prompts, rounds, shown


def plan_cost(
    builder: PromptBuilder, query: str, strategy: str, options: PlanOptions, *, count: int, passage_tokens: float
) -> PlanCost:
    """The most that ranking ``count`` candidates of ``passage_tokens`` on average takes.

    Raises:
        NotFound, InvalidInput: as the strategy does, and if it takes more prompts than it may.
    """
    each = builder.profile.reading is Reading.GRADED
    prompts, rounds, shown = _size(strategy, count, options, each=each)
    if not prompts:
        return PlanCost(0, 0, 0)
    if builder.profile.reading is Reading.ENCODED:
        return PlanCost(prompts, rounds, round(shown * passage_tokens))
    query_tokens = min(len(query) // CHARS_PER_TOKEN + 1, builder.profile.query_tokens)
    beside = builder.tokens_beside_passages(round(shown / prompts), query_tokens)
    return PlanCost(prompts, rounds, round(shown * passage_tokens + prompts * beside))


def mean_tokens(builder: PromptBuilder, candidates: Sequence[Candidate]) -> float:
    """Tokens of a candidate's passage on average; 0 without candidates."""
    return sum(_passage_tokens(builder, each) for each in candidates) / max(1, len(candidates))


def _passage_tokens(builder: PromptBuilder, candidate: Candidate) -> int:
    """Tokens of a passage: none if it was read before, those that the index holds, else by its length."""
    if builder.profile.reading is Reading.ENCODED and candidate.evidence is not None:
        return 0
    if candidate.tokens is not None and candidate.tokens.encoding == builder.encoding:
        return len(candidate.tokens.ids)
    chars = len(candidate.document.title) + len(candidate.document.text)
    return min(chars // CHARS_PER_TOKEN + 1, builder.profile.passage_tokens)
