"""Metrics of what the engine reads, how its answers look, and of the model servers behind it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.observability.buckets import SECONDS, SHARES
from service.observability.events import (
    AttemptFailed,
    EngineCalled,
    Event,
    LabelsRead,
    PermutationRepaired,
    ReplicaDown,
    ReplicaUp,
)

_PROMPTS = (1, 2, 4, 8, 16, 32, 64)
"""Bucket bounds of prompts in a batch."""


class EngineMetrics:
    """Counts and times these events in ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "onepass_engine_call_seconds", "Time of the engine for a batch", buckets=SECONDS, registry=registry
        )
        self._prompts = Histogram(
            "onepass_engine_batch_prompts", "Prompts of a batch", buckets=_PROMPTS, registry=registry
        )
        self._tokens = Counter("onepass_engine_tokens", "Tokens that the engine read", registry=registry)
        self._fill = Histogram(
            "onepass_engine_batch_fill_ratio",
            "Tokens of a batch, of the most it may have",
            buckets=SHARES,
            registry=registry,
        )
        self._mass = Histogram(
            "onepass_label_mass_ratio", "Probability of all labels together", buckets=SHARES, registry=registry
        )
        self._up = Gauge("onepass_upstream_up", "Whether a model server is asked now", ["upstream"], registry=registry)
        self._failures = Counter(
            "onepass_upstream_failures", "Calls without a usable result", ["upstream", "error"], registry=registry
        )
        self._repaired = Counter(
            "onepass_permutations_repaired", "Generated orders that were no permutations", registry=registry
        )

    def observe(self, event: Event) -> None:
        """Take note of ``event`` if it is one of these."""
        match event:
            case EngineCalled():
                self._seconds.observe(event.seconds)
                self._prompts.observe(event.prompts)
                self._tokens.inc(event.tokens)
                self._fill.observe(event.fill)
            case LabelsRead():
                self._mass.observe(event.mass)
            case ReplicaUp() | ReplicaDown():
                self._up.labels(event.url).set(isinstance(event, ReplicaUp))
            case AttemptFailed():
                self._failures.labels(event.url, event.error).inc()
            case PermutationRepaired():
                self._repaired.inc()
            case _:
                pass
