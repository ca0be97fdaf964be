"""Events as Prometheus metrics. ``docs/metrics.md`` lists them; a test holds that page to this file."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from service.domain import CacheState
from service.observability.buckets import SECONDS
from service.observability.engine_metrics import EngineMetrics
from service.observability.events import (
    CacheAsked,
    CacheFailed,
    CacheLed,
    Event,
    RequestFailed,
    RequestFinished,
)
from service.observability.index_metrics import IndexMetrics
from service.observability.overload_metrics import OverloadMetrics
from service.observability.ranking_metrics import RankingMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class PrometheusObserver:
    """Counts and times events in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._rooms = (
            RankingMetrics(self.registry),
            OverloadMetrics(self.registry),
            EngineMetrics(self.registry),
            IndexMetrics(self.registry),
        )
        self._requests = Counter(
            "onepass_requests", "Requests answered", ["route", "method", "status"], registry=self.registry
        )
        self._request_seconds = Histogram(
            "onepass_request_seconds", "Time to answer a request", ["route"], buckets=SECONDS, registry=self.registry
        )
        self._errors = Counter(
            "onepass_errors", "Requests answered with an error", ["dialect", "reason"], registry=self.registry
        )
        self._cache = Counter("onepass_cache", "Requests by what the cache did", ["state"], registry=self.registry)
        self._cache_errors = Counter(
            "onepass_cache_errors", "Uses of the cache that failed", ["error"], registry=self.registry
        )
        self._cache_leases = Counter(
            "onepass_cache_leases", "Missing answers that were made here", ["outcome"], registry=self.registry
        )
        # what every request touches is looked up once: the library takes longer to find a series than to count in it
        self._requests_of = cache(self._requests.labels)
        self._request_seconds_of = cache(self._request_seconds.labels)
        self._cache_of = cache(self._cache.labels)
        for state in CacheState:  # counted from 0, see ``OverloadMetrics``
            self._cache_of(state)

    def observe(self, event: Event) -> None:
        """Take note of ``event``; what every request tells comes first."""
        match event:
            case RequestFinished():
                self._requests_of(event.route, event.method, event.status).inc()
                self._request_seconds_of(event.route).observe(event.seconds)
            case CacheAsked():
                self._cache_of(event.state).inc()
            case RequestFailed():
                self._errors.labels(event.dialect, event.reason).inc()
            case CacheFailed():
                self._cache_errors.labels(event.error).inc()
            case CacheLed():
                self._cache_leases.labels("kept" if event.kept else "released").inc()
            case _:
                for room in self._rooms:
                    room.observe(event)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
