"""What real clients make of refusals and of other writing, with the scripts of ``examples/``."""

from __future__ import annotations

from enum import Enum

import httpx
import pytest

from tests.clients.conftest import MOST_DOCUMENTS, PER_MINUTE
from tests.clients.front import fronted
from tests.clients.scripts import CLIENTS, COHERE_5_13, COHERE_7, SCRIPTS, Script, asking, ranked, run_script, wanted

ALL = pytest.mark.parametrize("script", [wanted(script) for script in SCRIPTS])


def told(script: Script, stderr: str, message: str) -> bool:
    """Whether a client says why it failed, if it ever does."""
    return script.silent or message in stderr


@ALL
def test_a_wrong_key_gets_no_ranking_and_is_told_so(service: httpx.Client, script: Script) -> None:
    done = run_script(script, str(service.base_url), ONEPASS_API_KEY="wrong")

    assert done.returncode != 0
    assert ranked(done.stdout) == []
    assert told(script, done.stderr, "this API key is not known"), done.stderr


@ALL
def test_too_many_documents_are_an_error_that_says_so(service: httpx.Client, script: Script) -> None:
    source = asking(script, "which one", [f"text {number}" for number in range(MOST_DOCUMENTS + 1)])

    done = run_script(script, str(service.base_url), source)

    assert done.returncode != 0
    assert ranked(done.stdout) == []
    assert told(script, done.stderr, f"{MOST_DOCUMENTS + 1} are asked for; {MOST_DOCUMENTS} are allowed"), done.stderr


QUERY = "Что едят блохи? naïve café 不锈钢 👩‍🚀"
TEXTS = [
    "Блохи питаются кровью млекопитающих и птиц.",
    "שלום עולם، مرحبا بالعالم",
    "不锈钢 does not rust: naïve cafe\u0301, 👩‍🚀 \t«\\»",
]


@ALL
def test_every_writing_is_ranked_as_it_was_written(service: httpx.Client, script: Script) -> None:
    documents = [f"title: Animals\nbody: {text}\n" for text in TEXTS] if "rank_fields" in script.source else TEXTS
    body = {"model": "onepass-embedded", "query": QUERY, "documents": documents}
    direct = service.post("/v2/rerank", json=body, headers={"Authorization": "Bearer known"}).json()["results"]

    done = run_script(script, str(service.base_url), asking(script, QUERY, TEXTS))

    assert done.returncode == 0, done.stderr
    lines = ranked(done.stdout)
    each = len(lines) // script.rankings
    expected = [f"{result['relevance_score']:.3f} {TEXTS[result['index']]}" for result in direct]
    assert lines == expected[:each] * script.rankings


class Patience(Enum):
    """What a client does about an answer that says it is too much."""

    AS_TOLD = "tries again once the time has passed that it was told"
    SOONER = "tries again in its own time"
    NONE = "fails, and says why"


BY_DEFAULT = {
    "langchain_rerank.py": Patience.AS_TOLD,
    "llama_index_cohere.py": Patience.AS_TOLD,
    "haystack_cohere.py": Patience.AS_TOLD,
    "haystack_tei.py": Patience.SOONER,
}
COHERE = {CLIENTS: Patience.AS_TOLD, COHERE_5_13: Patience.NONE, COHERE_7: Patience.AS_TOLD}


def patience(script: Script) -> Patience:
    if script.name.startswith("cohere_"):
        return COHERE[script.python]
    return BY_DEFAULT.get(script.name, Patience.NONE)


WHEN_ASKED = [
    (Script("cohere_v2.py", COHERE_5_13), "top_n=2", 'top_n=2, request_options={"max_retries": 2}', Patience.AS_TOLD),
    (Script("voyage_rerank.py"), "api_key=KEY", "api_key=KEY, max_retries=3", Patience.SOONER),
]


def refused_once(service: httpx.Client, key: str, script: Script, source: str, expected: Patience) -> None:
    """Run ``source`` with its first request refused, and hold it to what is ``expected`` of its client."""
    with fronted(service, key) as front:
        done = run_script(script, front.url, source)

    if expected is Patience.NONE:
        assert done.returncode != 0
        assert len(front.arrivals) == 1
        assert told(script, done.stderr, f"this key allows {PER_MINUTE} requests a minute"), done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert len(front.arrivals) == script.rankings + 1
    waited = front.arrivals[1] - front.arrivals[0]
    assert (waited >= front.retry_after) == (expected is Patience.AS_TOLD), (waited, front.retry_after)


@ALL
def test_a_client_that_is_refused_does_what_its_page_says(service: httpx.Client, script: Script) -> None:
    refused_once(service, str(script), script, script.source, patience(script))


@pytest.mark.parametrize(("script", "plain", "asked", "expected"), [wanted(*row) for row in WHEN_ASKED])
def test_a_client_that_is_asked_to_tries_again(
    service: httpx.Client, script: Script, plain: str, asked: str, expected: Patience
) -> None:
    assert plain in script.source
    refused_once(service, f"{script}-asked", script, script.source.replace(plain, asked), expected)
