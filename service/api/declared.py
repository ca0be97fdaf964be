"""What the OpenAPI document says about the errors of an operation."""

from __future__ import annotations

from typing import Any

from service.api.error_shapes import shape_of
from service.api.schemas.errors import ErrorBody

MEANINGS: dict[int, str] = {
    400: "The body is not JSON, or the request is not HTTP",
    401: "No API key, or one that is not known; an endpoint for administrators, without its key",
    403: "An index that the API key does not allow",
    404: "No index, profile, strategy or model of that name",
    408: "The request was not whole after `ONEPASS_LIMITS__RECEIVE_S` seconds",
    413: "A size above its limit",
    422: "A field that cannot be used",
    429: "More than can be ranked in time, or too many requests under way, or more than the API key allows; "
    "`Retry-After` (whole seconds) and `retry-after-ms` say when to come back",
    431: "The request line and headers are larger than `ONEPASS_LIMITS__HEAD_BYTES`; always in our own shape",
    500: "The first stage failed; a reloaded index is broken",
    502: "`strict`: a model answered uselessly",
    503: "`strict`: a model cannot be reached; or the service ends before the work does",
    504: "Time ran out before there was anything to give, or `strict`; `only-if-cached`, and nothing is kept",
}
"""By status. Every other is a fault of ours."""

KEYED = (401, 429)
"""What an operation may answer that does no work, but asks for a key."""

RANKING = (400, 401, 404, 408, 413, 422, 429, 503, 504)
"""What every operation that ranks may answer."""


def errors_of(path: str, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation at ``path``, as ``responses`` of its route: ``statuses`` and 431, which any may have.

    A status that the dialect of the path does not know is told with what it becomes.
    """
    shape = shape_of(path)
    told: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        declared = told.setdefault(shape.statuses.get(status, status), {"model": shape.body, "description": ""})
        declared["description"] = ". ".join(filter(None, [declared["description"], MEANINGS[status]]))
    return told | {431: {"model": ErrorBody, "description": MEANINGS[431]}}
