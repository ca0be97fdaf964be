"""Metrics of the stages of requests, and of what ranking a list takes."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from service.observability.buckets import SECONDS, SHARES
from service.observability.events import Event, RankingFinished, StageFinished

_EACH = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Bucket bounds of prompts and rounds: from one window to a list of a thousand."""


class RankingMetrics:
    """Counts and times what becomes of lists in ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["profile", "strategy"]
        self._stage_seconds = Histogram(
            "onepass_stage_seconds", "Time in a stage of a request", ["stage"], buckets=SECONDS, registry=registry
        )
        self._rankings = Counter("onepass_rankings", "Lists ranked", labels, registry=registry)
        self._prompts = Histogram(
            "onepass_ranking_prompts", "Prompts read for a list", labels, buckets=_EACH, registry=registry
        )
        self._rounds = Histogram(
            "onepass_ranking_rounds",
            "Rounds of prompts read one after the other for a list",
            labels,
            buckets=_EACH,
            registry=registry,
        )
        self._tokens = Counter("onepass_prompt_tokens", "Tokens of prompts read", labels, registry=registry)
        self._entropy = Histogram(
            "onepass_label_entropy_ratio",
            "Entropy of a prompt's labels, of the most there can be",
            ["profile"],
            buckets=SHARES,
            registry=registry,
        )

    def observe(self, event: Event) -> None:
        """Take note of ``event`` if it is one of these."""
        match event:
            case StageFinished():
                self._stage_seconds.labels(event.stage).observe(event.seconds)
            case RankingFinished():
                labels = (event.profile, event.strategy)
                self._rankings.labels(*labels).inc()
                self._prompts.labels(*labels).observe(event.prompts)
                self._rounds.labels(*labels).observe(event.rounds)
                self._tokens.labels(*labels).inc(event.prompt_tokens)
                for entropy in event.entropies:
                    self._entropy.labels(event.profile).observe(entropy)
            case _:
                pass
