"""``onepass capacity``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from service.capacity import Load, Rates, gateways, kept_bytes, model_servers
from service.cli.console import OUT
from service.cli.options import Candidates, Profile, Strategy, TopK, settings_with
from service.engines import passage_encoder
from service.house import build_embedder
from service.ranking.cost import PlanCost, plan_cost
from service.ranking.readings import Reading
from service.ranking.strategies.plan import PlanOptions
from service.retrieval import faiss_index
from service.settings import Settings

GIGABYTE = 1e9
_QUERY_CHARS = 60
_ANSWER_BYTES = 2.5
"""Bytes of a kept answer for each token of its candidates, compressed, in the demo corpus."""
_STORED_BYTES = 18
"""Bytes on disk for each token of a passage: text, full-text index and sparse vector, in the demo corpus."""


def capacity(
    queries_per_s: Annotated[float, typer.Argument(min=0.001, help="Searches a second at the busiest time.")],
    *,
    candidates: Candidates = 100,
    top_k: TopK = 10,
    passage_tokens: Annotated[
        float | None, typer.Option(min=1, help="Tokens of a passage on average.", show_default="what the profile reads")
    ] = None,
    passages: Annotated[int, typer.Option(min=0, help="Passages of the index; 0 for none.")] = 0,
    dimension: Annotated[
        int | None, typer.Option(min=1, help="Length of their vectors.", show_default="the settings' embedder's")
    ] = None,
    cached: Annotated[float, typer.Option(min=0, max=1, help="Share of searches given from the cache.")] = 0.0,
    kept_s: Annotated[
        float | None, typer.Option(min=0, help="Seconds answers are kept.", show_default="the settings'")
    ] = None,
    model_rate: Annotated[float, typer.Option(min=1, help="Prompt tokens a second of one model server.")] = 8_000,
    gateway_rate: Annotated[float, typer.Option(min=1, help="Searches a second of one gateway process.")] = 80,
    utilisation: Annotated[float, typer.Option(min=0.01, max=1, help="Share of those rates to plan with.")] = 0.6,
    profile: Profile = None,
    strategy: Strategy = None,
) -> None:
    """Work out the model servers, gateways and memory that a load takes, see docs/scaling.md."""
    settings = settings_with(profile=profile)
    cost, length = _cost(settings, strategy, candidates, top_k, passage_tokens)
    load = Load(queries_per_s, cached, cost.tokens)
    rates = Rates(model_rate, gateway_rate, utilisation)
    lasting = settings.cache.fresh_s + settings.cache.stale_s if kept_s is None else kept_s
    memory = kept_bytes(load, lasting, candidates * length * _ANSWER_BYTES)
    facts = {
        "prompts of a search": f"{cost.prompts}, {cost.tokens:,} tokens together",
        "rankings a second": f"{load.rankings_per_s:,.1f}",
    }
    if cost.tokens:
        facts |= {
            "prompt tokens a second": f"{load.tokens_per_s:,.0f}",
            "model servers": str(model_servers(load, rates)),
        }
    facts |= {
        "gateway processes": str(gateways(load, rates)),
        "cache": f"{memory / GIGABYTE:,.2f} GB",
    }
    if passages:
        width = dimension or build_embedder(settings).dimension
        vectors = faiss_index.expected_bytes(passages, width)
        stored = passages * length * _STORED_BYTES
        facts |= {
            "FAISS": f"{faiss_index.choose_factory(passages)}, {vectors / GIGABYTE:,.2f} GB of memory for each gateway",
            "passages on disk": f"{stored / GIGABYTE:,.2f} GB for each gateway",
        }
    table = Table(show_header=False, box=None)
    for fact, value in facts.items():
        table.add_row(Text(fact, "bold"), Text(value))
    OUT.print(table)


def _cost(
    settings: Settings, strategy: str | None, candidates: int, top_k: int, passage_tokens: float | None
) -> tuple[PlanCost, float]:
    """What ranking once takes, and the tokens of a passage; no prompt shows more of one than the profile says.

    Encoders have read the passages of an index when it was built.
    """
    builder = passage_encoder(settings)
    profile = builder.profile
    length = passage_tokens or profile.passage_tokens
    read = 0 if profile.reading is Reading.ENCODED else min(length, profile.passage_tokens)
    cost = plan_cost(
        builder,
        "x" * _QUERY_CHARS,
        strategy or profile.strategy,
        PlanOptions(top_k, profile.window, profile.stride),
        count=candidates,
        passage_tokens=read,
    )
    return cost, length
