from __future__ import annotations

import re
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.domain import CacheState, DegradedReason, DegradedStep
from service.observability.events import (
    AdmissionChanged,
    AdmissionRefused,
    AdmissionWaited,
    CacheAsked,
    CacheFailed,
    CacheLed,
    Degraded,
    EngineCalled,
    Event,
    IndexOpened,
    IndexRefused,
    IndexWithdrawn,
    LabelsRead,
    Observers,
    RankingFinished,
    RefusalReason,
    ReplicaDown,
    ReplicaUp,
    RequestFailed,
    RequestFinished,
    StageFinished,
)
from service.observability.prometheus import PrometheusObserver

RANKING = RankingFinished("mini", "sliding", 9, 4, prompt_tokens=700, seconds=0.5, degraded=None, entropies=(0.25, 0.5))
PLAN = {"profile": "mini", "strategy": "sliding"}
FINISHED = RequestFinished("/v1/search", "POST", 200, 0.02, "id")
OPENED = IndexOpened("docs", "v1", 7, 900, 1e9)
CALLED = EngineCalled(prompts=3, tokens=600, fill=0.75, seconds=0.125)
INFO = re.compile(r'onepass_index_info{.*version="(\w+)"')


@pytest.mark.parametrize(
    ("event", "sample", "labels", "value"),
    [
        (FINISHED, "onepass_requests_total", {"route": "/v1/search", "method": "POST", "status": "200"}, 1),
        (FINISHED, "onepass_request_seconds_sum", {"route": "/v1/search"}, 0.02),
        (RequestFailed("tei", "not_found"), "onepass_errors_total", {"dialect": "tei", "reason": "not_found"}, 1),
        (StageFinished("rank", 0.3), "onepass_stage_seconds_count", {"stage": "rank"}, 1),
        (RANKING, "onepass_rankings_total", PLAN, 1),
        (RANKING, "onepass_ranking_prompts_sum", PLAN, 9),
        (RANKING, "onepass_ranking_rounds_sum", PLAN, 4),
        (RANKING, "onepass_prompt_tokens_total", PLAN, 700),
        (RANKING, "onepass_label_entropy_ratio_sum", {"profile": "mini"}, 0.75),
        (RANKING, "onepass_label_entropy_ratio_count", {"profile": "mini"}, 2),
        (CALLED, "onepass_engine_call_seconds_sum", {}, 0.125),
        (CALLED, "onepass_engine_batch_prompts_sum", {}, 3),
        (CALLED, "onepass_engine_tokens_total", {}, 600),
        (CALLED, "onepass_engine_batch_fill_ratio_sum", {}, 0.75),
        (LabelsRead(0.5), "onepass_label_mass_ratio_sum", {}, 0.5),
        (ReplicaUp("http://a"), "onepass_upstream_up", {"upstream": "http://a"}, 1),
        (ReplicaDown("http://a", "gone"), "onepass_upstream_up", {"upstream": "http://a"}, 0),
        (CacheAsked(CacheState.HIT), "onepass_cache_total", {"state": "hit"}, 1),
        (CacheFailed("TimeoutError"), "onepass_cache_errors_total", {"error": "TimeoutError"}, 1),
        (CacheLed(kept=True), "onepass_cache_leases_total", {"outcome": "kept"}, 1),
        (CacheLed(kept=False), "onepass_cache_leases_total", {"outcome": "released"}, 1),
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
        (OPENED, "onepass_index_documents", {"index": "docs"}, 7),
        (OPENED, "onepass_index_bytes", {"index": "docs"}, 900),
        (OPENED, "onepass_index_created_timestamp_seconds", {"index": "docs"}, 1e9),
        (OPENED, "onepass_index_info", {"index": "docs", "version": "v1"}, 1),
        (OPENED, "onepass_index_opened_total", {"index": "docs"}, 1),
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


def test_an_index_has_one_version_and_a_withdrawn_one_has_none() -> None:
    observer = PrometheusObserver()

    observer.observe(OPENED)
    observer.observe(replace(OPENED, version="v2"))
    assert INFO.findall(observer.exposition().decode()) == ["v2"]

    observer.observe(IndexWithdrawn("docs"))
    assert "onepass_index_documents{" not in observer.exposition().decode()
    assert INFO.findall(observer.exposition().decode()) == []
