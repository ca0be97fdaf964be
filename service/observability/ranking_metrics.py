"""Metrics of the stages of requests, and of what ranking a list takes."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram

from service.observability.buckets import SECONDS, SHARES
from service.observability.events import Event, RankingFinished, StageFinished

_EACH = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Bucket bounds of prompts and rounds: from one window to a list of a thousand."""


class RankingMetrics:
    """Counts and times what becomes of lists in ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["profile", "strategy"]
        stage_seconds = Histogram(
            "onepass_stage_seconds", "Time in a stage of a request", ["stage"], buckets=SECONDS, registry=registry
        )
        rankings = Counter("onepass_rankings", "Lists ranked", labels, registry=registry)
        prompts = Histogram(
            "onepass_ranking_prompts", "Prompts read for a list", labels, buckets=_EACH, registry=registry
        )
        rounds = Histogram(
            "onepass_ranking_rounds",
            "Rounds of prompts read one after the other for a list",
            labels,
            buckets=_EACH,
            registry=registry,
        )
        tokens = Counter("onepass_prompt_tokens", "Tokens of prompts read", labels, registry=registry)
        entropy = Histogram(
            "onepass_label_entropy_ratio",
            "Entropy of a prompt's labels, of the most there can be",
            ["profile"],
            buckets=SHARES,
            registry=registry,
        )

        # looked up once: the library takes longer to find a series than to count in it
        self._stage_seconds_of = cache(stage_seconds.labels)
        self._rankings_of = cache(rankings.labels)
        self._prompts_of = cache(prompts.labels)
        self._rounds_of = cache(rounds.labels)
        self._tokens_of = cache(tokens.labels)
        self._entropy_of = cache(entropy.labels)

    def observe(self, event: Event) -> None:
        """Take note of ``event`` if it is one of these."""
        match event:
            case StageFinished():
                self._stage_seconds_of(event.stage).observe(event.seconds)
            case RankingFinished():
                plan = (event.profile, event.strategy)
                self._rankings_of(*plan).inc()
                self._prompts_of(*plan).observe(event.prompts)
                self._rounds_of(*plan).observe(event.rounds)
                self._tokens_of(*plan).inc(event.prompt_tokens)
                for entropy in event.entropies:
                    self._entropy_of(event.profile).observe(entropy)
            case _:
                pass
