"""``onepass search``."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from service.api.requests import search_request
from service.api.schemas.native import RerankOptionsBody, SearchBody
from service.cli.console import OUT, note, warn
from service.cli.options import Candidates, Index, IndexesDir, Mode, Profile, Strategy, Timeout, settings_with
from service.cli.snippets import snippet
from service.domain import Answer, Result, SearchRequest
from service.house import build_pipeline
from service.settings import Settings


def search(
    query: Annotated[str, typer.Argument(help="The question, in words.")],
    *,
    index: Index = None,
    top_k: Annotated[int, typer.Option(min=1, help="Passages to show.")] = 10,
    candidates: Candidates = 100,
    mode: Mode = None,
    rerank: Annotated[bool, typer.Option(help="Whether the language model reorders the candidates.")] = True,
    strategy: Strategy = None,
    profile: Profile = None,
    timeout_ms: Timeout = 5000,
    indexes_dir: IndexesDir = None,
) -> None:
    """Answer one query in this process: the way of a request, without the HTTP."""
    settings = settings_with(indexes_dir=indexes_dir, profile=profile)
    body = SearchBody(
        query=query,
        index=index,
        top_k=top_k,
        candidates=candidates,
        mode=mode,
        rerank=RerankOptionsBody(enabled=rerank, strategy=strategy),
        timeout_ms=timeout_ms,
    )
    answer = asyncio.run(_answer(settings, search_request(body, settings.limits, settings.indexes.mode)))
    OUT.print(_table(answer))
    _tell_how(answer)


async def _answer(settings: Settings, request: SearchRequest) -> Answer:
    async with build_pipeline(settings) as pipeline:
        return await pipeline.search(request)


def _table(answer: Answer) -> Table:
    table = Table("rank", "score", "was", "title", "passage")
    for result in answer.results:
        document = result.candidate.document
        title = document.title or document.id
        table.add_row(str(result.rank), f"{result.score:.3f}", _move(result), Text(title), Text(snippet(document.text)))
    return table


def _move(result: Result) -> Text:
    """The first stage's rank, and how far the language model moved the passage."""
    was = result.candidate.rank
    moved = was - result.rank
    if moved == 0:
        return Text(f"{was}")
    return Text(f"{was} ▲{moved}", "green") if moved > 0 else Text(f"{was} ▼{-moved}", "red")


def _tell_how(answer: Answer) -> None:
    ranking, timings = answer.ranking, answer.timings
    if ranking.degraded is not None:
        warn(f"Degraded: {ranking.degraded}. This is the best order known.")
    if ranking.strategy is not None:
        note(f"{ranking.profile}, {ranking.strategy}: {ranking.prompts} prompts in {ranking.rounds} rounds")
    note(
        f"{len(answer.candidates)} candidates from {answer.index}; embed {timings.embed:.1f} ms, "
        f"retrieve {timings.retrieve:.1f} ms, rank {timings.rank:.1f} ms, total {timings.total:.1f} ms"
    )
