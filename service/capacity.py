"""How much hardware a load takes: the arithmetic of ``onepass capacity``. ``docs/scaling.md`` tells it in words."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for: searches a second, the share given from the cache, and the prompt tokens of one ranking."""

    queries_per_s: float
    cached: float
    tokens: int

    @property
    def rankings_per_s(self) -> float:
        """Searches a second that the model has to rank."""
        return self.queries_per_s * (1 - self.cached)

    @property
    def tokens_per_s(self) -> float:
        """Prompt tokens a second for all model servers together."""
        return self.rankings_per_s * self.tokens


@dataclass(frozen=True, slots=True)
class Rates:
    """What one process was measured to do at saturation, and the share of that to plan with.

    At saturation the queue grows without end; waiting doubles at half of it already (M/D/1: rho / 2(1 - rho) of a
    service time). ``utilisation`` below 1 is what keeps latencies near those of a single request, and what is left when
    a server fails.
    """

    model_tokens_per_s: float
    gateway_queries_per_s: float
    utilisation: float


def model_servers(load: Load, rates: Rates) -> int:
    """VLLM replicas; on GPUs, times the GPUs that each of them spans."""
    return math.ceil(load.tokens_per_s / (rates.model_tokens_per_s * rates.utilisation))


def gateways(load: Load, rates: Rates) -> int:
    """Gateway processes, one core each; answers from the cache count as any other."""
    return math.ceil(load.queries_per_s / (rates.gateway_queries_per_s * rates.utilisation))


def kept_bytes(load: Load, kept_s: float, answer_bytes: float) -> float:
    """Memory of the cache when every answer that is made is kept for so long."""
    return load.rankings_per_s * kept_s * answer_bytes
