"""Spans recorded by OpenTelemetry's SDK and sent over OTLP; the only file that needs the extra ``otel``."""

from __future__ import annotations

import random
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service import __version__
from service.observability.spans import RequestSpan, Unsampled, Value

_SEND_S = 3
"""Longest wait for the collector; spans that it does not take are dropped, and a log line says so."""

_SERVER_ERROR = 500
_W3C = TraceContextTextMapPropagator()


class OtlpTracer:
    """Implements ``spans.Tracer`` over the collector at ``endpoint``, such as ``http://collector:4318``.

    ``sample`` is the share of requests to trace where the caller's own ``traceparent`` does not decide. Spans are sent
    in batches by a thread; what the collector asks for beside them is read from OpenTelemetry's own variables, such as
    ``OTEL_EXPORTER_OTLP_HEADERS``.
    """

    def __init__(self, endpoint: str, *, sample: float, name: str) -> None:
        self._sample = sample
        resource = Resource.create({SERVICE_NAME: name, SERVICE_VERSION: __version__})
        sampler = ParentBased(TraceIdRatioBased(sample))
        self._provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_SEND_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("onepass", __version__)

    def request(self, headers: Mapping[str, str]) -> RequestSpan:
        """Begin the span of a request, or one that costs next to nothing where the request is not to be traced."""
        if random.random() >= self._sample and "traceparent" not in headers:
            return Unsampled()
        caller = _W3C.extract(headers, Context())
        return OtlpSpan(self._tracer, self._tracer.start_span("request", caller, SpanKind.SERVER))

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


class OtlpSpan:
    """Implements ``spans.RequestSpan`` over a span of the SDK; attributes of ours are named ``onepass.``."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self.recording = span.is_recording()

    @property
    def trace_id(self) -> str:
        """The trace."""
        return format_trace_id(self._span.get_span_context().trace_id)

    @property
    def headers(self) -> Mapping[str, str]:
        """``traceparent``, and the caller's ``tracestate`` where there was one."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, self._context)
        return carrier

    def child(self, name: str, attributes: Mapping[str, Value], *, calls: bool) -> OtlpSpan:
        """Begin a part of it."""
        kind = SpanKind.CLIENT if calls else SpanKind.INTERNAL
        return OtlpSpan(self._tracer, self._tracer.start_span(name, self._context, kind, _named(attributes)))

    def annotate(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes."""
        self._span.set_attributes(_named(attributes))

    def answered(self, method: str, route: str, status: int) -> None:
        """Name it as OpenTelemetry's conventions for HTTP servers say."""
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        )
        if status >= _SERVER_ERROR:
            self._span.set_status(Status(StatusCode.ERROR))

    def end(self, error: BaseException | None = None) -> None:
        """End it; the message of an error may hold what a caller wrote, its class does not."""
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        self._span.end()

    @property
    def _context(self) -> Context:
        return set_span_in_context(self._span, Context())


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    return {f"onepass.{name}": value for name, value in attributes.items()}
