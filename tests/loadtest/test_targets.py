from __future__ import annotations

import random
from collections import Counter

import httpx
import pytest

from loadtest.questions import Popular, Questions
from loadtest.targets import DIALECTS, FULL, Target, require_loopback, stages

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_our_own_service_answers_every_dialect(service: httpx.Client, dialect: str) -> None:
    questions = Questions(random.Random(), 3, 20)
    target = Target("ours", dialect, str(service.base_url), {}, "onepass-embedded")
    reply = await target.ask(questions.fresh())
    target.close()
    assert reply.kind == FULL
    assert reply.stages["total"] >= reply.stages["rank"] > 0


async def test_a_refusal_is_told_by_its_status(service: httpx.Client) -> None:
    target = Target("ours", "search", str(service.base_url), {"candidates": -1})
    assert (await target.ask(Questions(random.Random()).fresh())).kind == "422"
    target.close()


def test_stages_are_read_from_the_header() -> None:
    assert stages("embed;dur=1.5, rank;dur=20") == {"embed": 1.5, "rank": 20.0}
    assert stages("") == {}


@pytest.mark.parametrize("url", ["http://10.0.0.1:8080", "http://example.org", "http://"])
def test_other_machines_are_not_loaded_by_mistake(url: str) -> None:
    with pytest.raises(SystemExit, match="--remote"):
        require_loopback(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost"])
def test_this_machine_is(url: str) -> None:
    require_loopback(url)


def test_popular_questions_are_asked_as_zipf_says() -> None:
    """Of 100 questions with exponent 1, the first is asked 1 / H(100) = 19.3% of the time, the second half as often."""
    generator = random.Random(1)
    popular = Popular(Questions(generator), 100, 1.0, generator)
    counts = [count for _, count in Counter(popular.draw().query for _ in range(20_000)).most_common()]
    assert counts[0] / 20_000 == pytest.approx(0.193, abs=0.02)
    assert counts[1] / counts[0] == pytest.approx(0.5, abs=0.1)
