"""Metrics of the indexes that are served: how large, which version, how old."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.observability.events import Event, IndexOpened, IndexRefused, IndexWithdrawn


class IndexMetrics:
    """Counts and measures these events in ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._documents = Gauge("onepass_index_documents", "Documents of an index", ["index"], registry=registry)
        self._bytes = Gauge("onepass_index_bytes", "Size of an index's files", ["index"], registry=registry)
        self._created = Gauge(
            "onepass_index_created_timestamp_seconds",
            "Unix time at which the version served was built",
            ["index"],
            registry=registry,
        )
        self._info = Gauge("onepass_index_info", "1 for the version served", ["index", "version"], registry=registry)
        self._opened = Counter(
            "onepass_index_opened", "Versions of an index that were opened", ["index"], registry=registry
        )
        self._refused = Counter(
            "onepass_index_refused", "Versions of an index that were refused", ["index", "error"], registry=registry
        )
        self._versions: dict[str, str] = {}

    def observe(self, event: Event) -> None:
        """Take note of ``event`` if it is one of these."""
        match event:
            case IndexOpened():
                self._opened.labels(event.name).inc()
                self._serve(event)
            case IndexRefused():
                self._refused.labels(event.name, event.error).inc()
            case IndexWithdrawn():
                self._forget_version(event.name)
                for gauge in (self._documents, self._bytes, self._created):
                    gauge.remove(event.name)
            case _:
                pass

    def _serve(self, opened: IndexOpened) -> None:
        self._documents.labels(opened.name).set(opened.documents)
        self._bytes.labels(opened.name).set(opened.bytes)
        self._created.labels(opened.name).set(opened.created)
        self._forget_version(opened.name)
        self._info.labels(opened.name, opened.version).set(1)
        self._versions[opened.name] = opened.version

    def _forget_version(self, name: str) -> None:
        """One version of an index is served at a time: the one before has no series any more."""
        version = self._versions.pop(name, None)
        if version is not None:
            self._info.remove(name, version)
