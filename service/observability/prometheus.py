"""Events as Prometheus metrics. ``docs/metrics.md`` lists them; a test holds that page to this file."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.observability.events import (
    AttemptFailed,
    CacheAsked,
    CacheFailed,
    Degraded,
    Event,
    IndexOpened,
    IndexRefused,
    IndexWithdrawn,
    PermutationRepaired,
    RankingFinished,
    ReplicaDown,
    ReplicaUp,
    RequestFinished,
    StageFinished,
)
from service.observability.overload_metrics import OverloadMetrics

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Bucket bounds that fit a cached answer of 1 ms and a deadline of 10 s."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class PrometheusObserver:
    """Counts and times events in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._overload = OverloadMetrics(self.registry, SECONDS)
        self._requests = Counter(
            "onepass_requests", "Requests answered", ["route", "method", "status"], registry=self.registry
        )
        self._request_seconds = Histogram(
            "onepass_request_seconds", "Time to answer a request", ["route"], buckets=SECONDS, registry=self.registry
        )
        self._stage_seconds = Histogram(
            "onepass_stage_seconds",
            "Time in a stage of the pipeline",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._rankings = Counter("onepass_rankings", "Lists ranked", ["profile", "strategy"], registry=self.registry)
        self._prompts = Counter(
            "onepass_prompts", "Prompts read by the engine", ["profile", "strategy"], registry=self.registry
        )
        self._rounds = Counter(
            "onepass_rounds",
            "Rounds of prompts read one after the other",
            ["profile", "strategy"],
            registry=self.registry,
        )
        self._degraded = Counter(
            "onepass_degraded", "Answers that were less than asked for", ["reason"], registry=self.registry
        )
        self._cache = Counter("onepass_cache", "Requests by what the cache did", ["state"], registry=self.registry)
        self._cache_errors = Counter(
            "onepass_cache_errors", "Uses of the cache that failed", ["error"], registry=self.registry
        )
        self._upstream_up = Gauge(
            "onepass_upstream_up", "Whether a model server is asked now", ["upstream"], registry=self.registry
        )
        self._upstream_failures = Counter(
            "onepass_upstream_failures", "Calls without a usable result", ["upstream", "error"], registry=self.registry
        )
        self._repaired = Counter(
            "onepass_permutations_repaired", "Generated orders that were no permutations", registry=self.registry
        )
        self._documents = Gauge("onepass_index_documents", "Documents of an index", ["index"], registry=self.registry)
        self._index_opened = Counter(
            "onepass_index_opened", "Versions of an index that were opened", ["index"], registry=self.registry
        )
        self._index_refused = Counter(
            "onepass_index_refused",
            "Versions of an index that were refused",
            ["index", "error"],
            registry=self.registry,
        )
        # what every request touches is looked up once: the library takes longer to find a series than to count in it
        self._requests_of = cache(self._requests.labels)
        self._request_seconds_of = cache(self._request_seconds.labels)
        self._cache_of = cache(self._cache.labels)

    def observe(self, event: Event) -> None:  # noqa: C901  one case for each kind of event
        """Take note of ``event``."""
        self._overload.observe(event)
        match event:
            case RequestFinished():
                self._requests_of(event.route, event.method, event.status).inc()
                self._request_seconds_of(event.route).observe(event.seconds)
            case StageFinished():
                self._stage_seconds.labels(event.stage).observe(event.seconds)
            case RankingFinished():
                labels = (event.profile, event.strategy)
                self._rankings.labels(*labels).inc()
                self._prompts.labels(*labels).inc(event.prompts)
                self._rounds.labels(*labels).inc(event.rounds)
            case Degraded():
                self._degraded.labels(event.reason.value).inc()
            case CacheAsked():
                self._cache_of(event.state).inc()
            case CacheFailed():
                self._cache_errors.labels(event.error).inc()
            case ReplicaUp() | ReplicaDown():
                self._upstream_up.labels(event.url).set(isinstance(event, ReplicaUp))
            case AttemptFailed():
                self._upstream_failures.labels(event.url, event.error).inc()
            case PermutationRepaired():
                self._repaired.inc()
            case IndexOpened():
                self._documents.labels(event.name).set(event.documents)
                self._index_opened.labels(event.name).inc()
            case IndexRefused():
                self._index_refused.labels(event.name, event.error).inc()
            case IndexWithdrawn():
                self._documents.remove(event.name)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
