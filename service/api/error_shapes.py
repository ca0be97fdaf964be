"""What the body of an error looks like: as the clients of the path that was called expect it.

    /v1/search and all others of ours   {"error": {"type", "message", "field"}}
    /v1/rerank                          the same, with "message" for Cohere's clients and "detail" for Jina's
    /score, /v1/score, /infinity/rerank OpenAI's: {"error": {"type", "message", "param", "code"}}
    /rerank, /info, /v2/rerank          {"error": text, "error_type"} of TEI with "message", "detail" and "field"
    /voyage/v1/rerank                   the same; 400 for every fault of the request but those of Voyage's own statuses

A response finds its shape when it is sent, so that middleware need not know about dialects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from service.api.schemas.errors import (
    ErrorBody,
    ErrorDetail,
    FlatErrorBody,
    OpenAIErrorBody,
    OpenAIErrorDetail,
    SharedErrorBody,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error to be told: ``kind`` is its class in snake case, ``field`` what is to blame in the request."""

    status: int
    kind: str
    message: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """How a dialect tells errors: a ``body`` made by ``write``; ``statuses`` it knows by another number."""

    body: type[BaseModel]
    write: Callable[[Problem], BaseModel]
    statuses: Mapping[int, int] = field(default_factory=dict)


class ErrorResponse(JSONResponse):
    """An error in the shape of the path that it answers."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        super().__init__(_native(problem).model_dump(), problem.status)

    def take_shape(self, path: str) -> None:
        """Become what clients of ``path`` expect."""
        shape = shape_of(path)
        self.status_code = shape.statuses.get(self._problem.status, self._problem.status)
        self.body = self.render(shape.write(replace(self._problem, status=self.status_code)).model_dump())
        self.headers["content-length"] = str(len(self.body))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and leave its kind where the request is counted."""
        scope.setdefault("state", {})["error"] = self._problem.kind
        self.take_shape(scope["path"])
        await super().__call__(scope, receive, send)


def _native(problem: Problem) -> ErrorBody:
    return ErrorBody(error=_detail(problem))


def _shared(problem: Problem) -> SharedErrorBody:
    return SharedErrorBody(error=_detail(problem), message=problem.message, detail=problem.message)


def _detail(problem: Problem) -> ErrorDetail:
    return ErrorDetail(type=problem.kind, message=problem.message, field=problem.field)


def _openai(problem: Problem) -> OpenAIErrorBody:
    detail = OpenAIErrorDetail(type=problem.kind, message=problem.message, param=problem.field, code=problem.status)
    return OpenAIErrorBody(error=detail)


def _flat(problem: Problem) -> FlatErrorBody:
    return FlatErrorBody(
        message=problem.message,
        detail=problem.message,
        error=problem.message,
        error_type=_TEI_TYPES.get(problem.status, "Backend"),
        field=problem.field,
    )


_TEI_TYPES: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "Validation",
    HTTPStatus.UNAUTHORIZED: "Unauthorized",
    HTTPStatus.FORBIDDEN: "Unauthorized",
    HTTPStatus.NOT_FOUND: "Validation",
    HTTPStatus.REQUEST_TIMEOUT: "Validation",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Validation",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Validation",
    HTTPStatus.TOO_MANY_REQUESTS: "Overloaded",
    HTTPStatus.SERVICE_UNAVAILABLE: "Unhealthy",
}

_OURS = Shape(ErrorBody, _native)
_OPENAI = Shape(OpenAIErrorBody, _openai)
_FLAT = Shape(FlatErrorBody, _flat)
_BAD_REQUEST = HTTPStatus.BAD_REQUEST

SHAPES = {
    "/v1/rerank": Shape(SharedErrorBody, _shared),
    "/infinity/rerank": _OPENAI,
    "/score": _OPENAI,
    "/v1/score": _OPENAI,
    "/v1/models": _OPENAI,
    "/rerank": _FLAT,
    "/info": _FLAT,
    "/v2/rerank": _FLAT,
    "/voyage/v1/rerank": Shape(
        FlatErrorBody, _flat, {HTTPStatus.NOT_FOUND: _BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _BAD_REQUEST}
    ),
}
"""By path; every other path answers in the shape of our own."""


def shape_of(path: str) -> Shape:
    """How errors of ``path`` are told."""
    return SHAPES.get(path, _OURS)
