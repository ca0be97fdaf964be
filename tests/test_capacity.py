from __future__ import annotations

import pytest

from service.capacity import Load, Rates, gateways, kept_bytes, model_servers

LOAD = Load(queries_per_s=50, cached=0.2, tokens=9_000)
RATES = Rates(model_tokens_per_s=100_000, gateway_queries_per_s=90, utilisation=0.6)


def test_only_what_the_cache_does_not_answer_is_ranked() -> None:
    """50 searches a second less a fifth are 40; of 9,000 tokens each, 360,000."""
    assert LOAD.rankings_per_s == 40
    assert LOAD.tokens_per_s == 360_000


def test_a_server_is_planned_with_a_share_of_its_rate() -> None:
    """360,000 tokens a second over 60,000 of each server are exactly 6; a little more is a seventh."""
    assert model_servers(LOAD, RATES) == 6
    assert model_servers(Load(51, 0.2, 9_000), RATES) == 7


def test_gateways_serve_cached_answers_too() -> None:
    """50 searches a second over 54 of each gateway."""
    assert gateways(LOAD, RATES) == 1
    assert gateways(Load(55, 1.0, 9_000), RATES) == 2
    assert model_servers(Load(55, 1.0, 9_000), RATES) == 0


def test_the_cache_holds_what_is_made_while_it_is_kept() -> None:
    """40 answers a second for an hour are 144,000, of 20 kB each 2.88 GB."""
    assert kept_bytes(LOAD, 3600, 20_000) == pytest.approx(2.88e9)
