"""vLLM's scores, and the list of models that clients of OpenAI's form ask for."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse

from service.api import examples
from service.api.declared import KEYED, RANKING, errors_of
from service.api.dialects import Asked, Backend, logit, sent
from service.api.schemas import vllm
from service.api.schemas.cohere import Usage
from service.errors import InvalidInput


def router(backend: Backend) -> APIRouter:
    """``/score``, the same under ``/v1``, and ``/v1/models``."""
    routes = APIRouter(tags=["clients of others"])

    @routes.post("/score", summary="As vLLM", response_model=vllm.ScoreAnswer, responses=errors_of("/score", *RANKING))
    @routes.post(
        "/v1/score", summary="As vLLM", response_model=vllm.ScoreAnswer, responses=errors_of("/v1/score", *RANKING)
    )
    async def score(
        request: Request, body: Annotated[vllm.ScoreBody, Body(openapi_examples=examples.SCORE)]
    ) -> JSONResponse:
        texts = [body.text_2] if isinstance(body.text_2, str) else body.text_2
        asked = Asked(
            query=_query(body.text_1, len(texts)),
            texts=texts,
            query_field="text_1",
            texts_field="text_2",
            model=body.model,
            priority=-(body.priority or 0),
        )
        answer = await backend.rerank(asked, request)
        raw = body.use_activation is False
        scores = sorted((result.index, logit(result.score) if raw else result.score) for result in answer.results)
        tokens = answer.ranking.prompt_tokens
        scored = vllm.ScoreAnswer(
            id=request.state.request_id,
            created=int(time.time()),
            model=backend.models.profile(body.model),
            data=[vllm.Score(index=index, score=value) for index, value in scores],
            usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
        )
        return sent(scored, answer)

    @routes.get(
        "/v1/models",
        summary="As OpenAI: every name that `model` takes",
        responses=errors_of("/v1/models", *KEYED),
    )
    async def models() -> vllm.ModelList:
        return vllm.ModelList(data=[vllm.Model(id=name) for name in backend.models.known])

    return routes


def _query(text: str | list[str], count: int) -> str:
    """The one query of a body.

    Raises:
        InvalidInput: several are asked, or not as many as there are texts: scores of two queries do not compare.
    """
    queries = [text] if isinstance(text, str) else text
    if len(set(queries)) != 1 or len(queries) not in {1, count}:
        raise InvalidInput("give one query, once or once for each text", field="text_1")
    return queries[0]
