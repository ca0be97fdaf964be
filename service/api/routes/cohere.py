"""Cohere's rerank, v1 and v2, whose form Jina's and vLLM's clients share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse

from service.api import examples
from service.api.declared import RANKING, errors_of
from service.api.dialects import Asked, Backend, sent
from service.api.schemas import cohere
from service.domain import Answer
from service.errors import InvalidInput

DOCUMENTS_PER_UNIT = 100


def router(backend: Backend) -> APIRouter:
    """``/v2/rerank``; ``respond`` serves the paths that are shared with other dialects."""
    routes = APIRouter(tags=["clients of others"])

    @routes.post(
        "/v2/rerank",
        summary="As Cohere's v2",
        response_model=cohere.RerankAnswer,
        responses=errors_of("/v2/rerank", *RANKING),
    )
    async def rerank(
        request: Request, body: Annotated[cohere.RerankBody, Body(openapi_examples=examples.COHERE)]
    ) -> JSONResponse:
        return await respond(backend, body, request, version="2")

    return routes


async def respond(backend: Backend, body: cohere.RerankBody, request: Request, *, version: str) -> JSONResponse:
    """The answer to ``body``, as that version of the dialect.

    Raises:
        OnepassError: as ``asked`` and ``Backend.rerank`` do.
    """
    answer = await backend.rerank(asked(body), request)
    return sent(_answer(answer, body, request.state.request_id, backend.models.profile(body.model), version), answer)


def asked(body: cohere.RerankBody) -> Asked:
    """What ``body`` asks for.

    Raises:
        InvalidInput: an object document that holds nothing to read.
    """
    return Asked(
        query=body.query,
        texts=[_text(document, body.rank_fields, position) for position, document in enumerate(body.documents)],
        model=body.model,
        top_n=body.top_n,
        passage_tokens=body.max_tokens_per_doc,
        truncate=body.truncation is not False,
        priority=-(body.priority or 0),
    )


def _text(document: str | Mapping[str, Any], fields: Sequence[str] | None, position: int) -> str:
    """What is read of a document: the fields asked for, a line each, else its text."""
    if isinstance(document, str):
        return document
    if fields is None:
        text = document.get("text")
        if not isinstance(text, str):
            raise InvalidInput("an object needs a text, or rank_fields to read", field=f"documents[{position}].text")
        return text
    chosen = {field: document[field] for field in fields if field in document}
    if not chosen:
        raise InvalidInput("none of rank_fields is in this document", field=f"documents[{position}]")
    return "".join(f"{field}: {_line(value)}\n" for field, value in chosen.items())


def _line(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _answer(answer: Answer, body: cohere.RerankBody, request_id: str, model: str, version: str) -> cohere.RerankAnswer:
    ranking, tokens = answer.ranking, answer.ranking.prompt_tokens
    return cohere.RerankAnswer(
        id=request_id,
        model=model,
        results=[
            cohere.RerankResult(
                index=result.index,
                relevance_score=result.score,
                document=_given(body.documents[result.index]) if body.return_documents else None,
            )
            for result in answer.results
        ],
        usage=cohere.Usage(prompt_tokens=tokens, total_tokens=tokens),
        meta=cohere.Meta(
            api_version=cohere.ApiVersion(version=version),
            billed_units=cohere.BilledUnits(search_units=math.ceil(len(body.documents) / DOCUMENTS_PER_UNIT)),
            tokens=cohere.Tokens(input_tokens=tokens),
            warnings=[f"degraded: {ranking.degraded.value}"] if ranking.degraded else None,
        ),
    )


def _given(document: str | dict[str, Any]) -> cohere.DocumentAnswer | dict[str, Any]:
    return cohere.DocumentAnswer(text=document) if isinstance(document, str) else document
