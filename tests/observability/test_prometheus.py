from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.domain import DegradedReason, DegradedStep
from service.observability.events import (
    AdmissionChanged,
    AdmissionRefused,
    AdmissionWaited,
    Degraded,
    Event,
    IndexOpened,
    IndexRefused,
    IndexWithdrawn,
    Observers,
    RankingFinished,
    RefusalReason,
    RequestFinished,
    StageFinished,
)
from service.observability.prometheus import PrometheusObserver

RANKING = RankingFinished("mini", "sliding", prompts=9, rounds=4, seconds=0.5, degraded=None)


@pytest.mark.parametrize(
    ("event", "sample", "labels", "value"),
    [
        (
            RequestFinished("/v1/search", "POST", 200, 0.02),
            "onepass_requests_total",
            {"route": "/v1/search", "method": "POST", "status": "200"},
            1,
        ),
        (
            RequestFinished("/v1/search", "POST", 200, 0.02),
            "onepass_request_seconds_sum",
            {"route": "/v1/search"},
            0.02,
        ),
        (StageFinished("rank", 0.3), "onepass_stage_seconds_count", {"stage": "rank"}, 1),
        (RANKING, "onepass_rankings_total", {"profile": "mini", "strategy": "sliding"}, 1),
        (RANKING, "onepass_prompts_total", {"profile": "mini", "strategy": "sliding"}, 9),
        (RANKING, "onepass_rounds_total", {"profile": "mini", "strategy": "sliding"}, 4),
        (Degraded(DegradedReason.DEADLINE, "late"), "onepass_degraded_total", {"reason": "deadline"}, 1),
        (
            Degraded(DegradedReason.OVERLOADED, "full", DegradedStep.FIRST_STAGE),
            "onepass_degraded_steps_total",
            {"step": "first_stage"},
            1,
        ),
        (AdmissionWaited(0.4), "onepass_admission_wait_seconds_sum", {}, 0.4),
        (AdmissionRefused(RefusalReason.QUEUE), "onepass_admission_refusals_total", {"reason": "queue"}, 1),
        (AdmissionChanged(900, 3, 5000.0), "onepass_admission_in_flight_tokens", {}, 900),
        (AdmissionChanged(900, 3, 5000.0), "onepass_admission_waiting", {}, 3),
        (AdmissionChanged(900, 3, 5000.0), "onepass_admission_tokens_per_second", {}, 5000),
        (IndexOpened("docs", "v1", 7), "onepass_index_documents", {"index": "docs"}, 7),
        (IndexOpened("docs", "v1", 7), "onepass_index_opened_total", {"index": "docs"}, 1),
        (
            IndexRefused("docs", "IndexCorrupt", "bad"),
            "onepass_index_refused_total",
            {"index": "docs", "error": "IndexCorrupt"},
            1,
        ),
    ],
)
def test_an_event_becomes_a_sample(event: Event, sample: str, labels: dict[str, str], value: float) -> None:
    observer = PrometheusObserver()

    Observers([observer]).observe(event)

    families = text_string_to_metric_families(observer.exposition().decode())
    samples = {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}
    assert samples[sample, frozenset(labels.items())] == value


def test_a_withdrawn_index_has_no_documents() -> None:
    observer = PrometheusObserver()
    observer.observe(IndexOpened("docs", "v1", 7))

    observer.observe(IndexWithdrawn("docs"))

    assert "onepass_index_documents{" not in observer.exposition().decode()
