"""Metrics of what is done, refused and made smaller, most of all when more is asked for than can be ranked."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.domain import DegradedReason, DegradedStep
from service.observability.buckets import SECONDS
from service.observability.events import (
    AdmissionChanged,
    AdmissionRefused,
    AdmissionWaited,
    Degraded,
    Event,
    RefusalReason,
)


class OverloadMetrics:
    """Counts and times these events in ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._degraded = Counter(
            "onepass_degraded", "Answers that were less than asked for", ["reason"], registry=registry
        )
        self._steps = Counter("onepass_degraded_steps", "Rankings made smaller to fit", ["step"], registry=registry)
        self._wait = Histogram(
            "onepass_admission_wait_seconds", "Time in the queue", buckets=SECONDS, registry=registry
        )
        self._refusals = Counter("onepass_admission_refusals", "Work refused", ["reason"], registry=registry)
        self._in_flight = Gauge("onepass_admission_in_flight_tokens", "Prompt tokens under way", registry=registry)
        self._waiting = Gauge("onepass_admission_waiting", "Rankings in the queue", registry=registry)
        self._rate = Gauge("onepass_admission_tokens_per_second", "Measured rate of completed work", registry=registry)

        # counted from 0: a series that begins with its first event hides that event from Prometheus' rate
        for reason in DegradedReason:
            self._degraded.labels(reason.value)
        for step in DegradedStep:
            self._steps.labels(step.value)
        for refusal in RefusalReason:
            self._refusals.labels(refusal.value)

    def observe(self, event: Event) -> None:
        """Take note of ``event`` if it is one of these."""
        match event:
            case Degraded():
                self._degraded.labels(event.reason.value).inc()
                if event.step is not None:
                    self._steps.labels(event.step.value).inc()
            case AdmissionWaited():
                self._wait.observe(event.seconds)
            case AdmissionRefused():
                self._refusals.labels(event.reason.value).inc()
            case AdmissionChanged():
                self._in_flight.set(event.in_flight_tokens)
                self._waiting.set(event.waiting)
                self._rate.set(event.tokens_per_second)
            case _:
                pass
