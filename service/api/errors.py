"""The one table from errors to HTTP statuses. What an error's body looks like is decided in ``error_shapes.py``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service import errors
from service.api.error_shapes import ErrorResponse, Problem
from service.api.schemas.unions import Taken

STATUS: dict[type[errors.OnepassError], HTTPStatus] = {
    errors.InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InputTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    errors.NotCached: HTTPStatus.GATEWAY_TIMEOUT,  # RFC 9111, section 5.2.1.7
    errors.Overloaded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.ShuttingDown: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.EngineUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.EngineRejected: HTTPStatus.BAD_GATEWAY,
    errors.EngineProtocolError: HTTPStatus.BAD_GATEWAY,
    errors.EmbedderError: HTTPStatus.BAD_GATEWAY,
    errors.RetrievalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.OnepassError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Looked up along an error's class and its bases, nearest first."""


_CLIENT_CLOSED_REQUEST = 499
"""As nginx counts it."""


def status_of(error: errors.OnepassError) -> HTTPStatus:
    """The HTTP status that stands for ``error``."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def error_response(status: int, kind: str, message: str, field: str | None = None) -> ErrorResponse:
    """An error in the shape of the path it answers; ``field`` is null where no field is to blame."""
    return ErrorResponse(Problem(status, kind, message, field))


def gone() -> ErrorResponse:
    """What nobody reads any more: the client left before its answer, or was too slow to ask."""
    return error_response(_CLIENT_CLOSED_REQUEST, "client_closed_request", "the client has gone")


def response_to(error: errors.OnepassError) -> ErrorResponse:
    """``error`` with its status, and the headers that say what to do about it."""
    field = error.field if isinstance(error, errors.RequestError) else None
    response = error_response(status_of(error), _snake(type(error).__name__), _told(error), field)
    if isinstance(error, errors.Overloaded | errors.RateLimited):
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
        response.headers["retry-after-ms"] = str(math.ceil(error.retry_after_s * 1000))
    if isinstance(error, errors.Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


_INSIDE: dict[type[errors.OnepassError], str] = {
    errors.EngineUnavailable: "the model cannot be asked now",
    errors.EngineRejected: "the model refuses a prompt of this request",
    errors.EngineError: "the model gave no usable answer",
}
"""What callers are told instead of messages that may name addresses of model servers; those are in the log."""


def _told(error: errors.OnepassError) -> str:
    return next((_INSIDE[kind] for kind in type(error).__mro__ if kind in _INSIDE), str(error))


def install(app: FastAPI) -> None:
    """Answer every error of ours, of validation and of routing in the one shape."""
    app.add_exception_handler(errors.OnepassError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


async def _ours(_request: Request, error: Exception) -> ErrorResponse:
    assert isinstance(error, errors.OnepassError)  # noqa: S101  registered for this class alone
    return response_to(error)


async def _validation(_request: Request, error: Exception) -> ErrorResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for this class alone
    first: dict[str, Any] = error.errors()[0]
    field = field_path(first["loc"])
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "not JSON")
        return error_response(HTTPStatus.BAD_REQUEST, "invalid_json", f"the body is not JSON: {reason}", "body")
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if first["type"] == "too_long" else HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "input_too_large" if first["type"] == "too_long" else "invalid_input"
    return error_response(status, kind, f"{field}: {first['msg']}", field)


async def _http(_request: Request, error: Exception) -> ErrorResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class alone
    kind = _snake(HTTPStatus(error.status_code).phrase.title().replace(" ", ""))
    response = error_response(error.status_code, kind, str(error.detail))
    response.headers.update(error.headers or {})
    return response


def field_path(location: Sequence[str | int]) -> str:
    """A field as the caller spelt it: ``("body", "documents", 3, "text")`` is ``documents[3].text``."""
    path = ""
    inside = [part for part in location[1:] if part not in _TAKEN]
    for part in inside or location[:1]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path[:_LONGEST_PATH].encode(errors="backslashreplace").decode()


_TAKEN = frozenset(Taken)
_LONGEST_PATH = 200
"""Characters: a field that is not known has whatever name the caller gave it."""


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).removeprefix("_")
