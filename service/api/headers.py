"""What headers tell about an answer: how long each stage took, and whether it is less than what was asked for."""

from __future__ import annotations

from service.domain import Answer, Timings

ACCEPTED = ("authorization", "content-type", "x-api-key", "x-request-id")
"""What a page of another origin may send."""

EXPOSED = ("x-request-id", "server-timing", "x-onepass-degraded", "retry-after", "retry-after-ms")
"""What a page of another origin may read."""


def answer_headers(answer: Answer) -> dict[str, str]:
    """``Server-Timing`` by stage, Text Embeddings Inference's headers in its units, and why an answer is degraded."""
    timings = answer.timings
    headers = {
        "server-timing": server_timing(timings),
        "x-total-time": str(round(timings.total)),
        "x-inference-time": str(round(timings.rank)),
        "x-compute-tokens": str(answer.ranking.prompt_tokens),
    }
    if answer.ranking.degraded is not None:
        headers["x-onepass-degraded"] = answer.ranking.degraded.value
    return headers


def server_timing(timings: Timings) -> str:
    """The milliseconds of each stage in the form of ``Server-Timing``."""
    return (
        f"embed;dur={timings.embed:.3f}, retrieve;dur={timings.retrieve:.3f}, rank;dur={timings.rank:.3f}, "
        f"total;dur={timings.total:.3f}"
    )
