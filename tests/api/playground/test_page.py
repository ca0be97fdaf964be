"""The page in a real Chromium, on a real service. ``.ci/run`` installs the browser and the rules of accessibility."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.keys import digest
from service.settings import Settings
from tests.api.overload import too_much
from tests.api.playground.browser import Browser, chromium
from tests.serving import serving

DRIVER = "TEST_CHROMEDRIVER"
AXE = "TEST_AXE"
RULES = """
const [done] = arguments;
axe.run(document).then(({violations}) => done(violations
  .filter(({impact}) => ["serious", "critical"].includes(impact))
  .map(({id, nodes}) => [id, nodes.map((node) => node.html)])))
"""
DONE = "!document.getElementById('answer').hidden && !document.getElementById('answer').hasAttribute('aria-busy')"
LOADED = "document.querySelector('[name=profile]').value"
WIDTHS = [1280, 360]
WARNING = ".list .warning"

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.skipif(not {DRIVER, AXE} <= os.environ.keys(), reason=f"needs chromium: {DRIVER}, {AXE}"),
]


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with chromium(os.environ[DRIVER]) as browser:
        yield browser


@pytest.fixture
def page(window: Browser, service: httpx.Client) -> Iterator[Browser]:
    """The page of the service, as it is loaded; whatever a test does, the console is silent and all stays at home."""
    origin = str(service.base_url).rstrip("/")
    yield from _opened(window, origin)


def _opened(window: Browser, origin: str) -> Iterator[Browser]:
    window.open("about:blank")
    window.resize(1280, 800)
    window.prefer("light")
    window.console()
    window.origins()
    window.open(f"{origin}/")
    yield window
    assert window.console() == []
    assert window.origins() <= {origin}


@pytest.fixture
def ready(page: Browser) -> Browser:
    """The page when it knows what the service has; a busy machine may take its time."""
    return _loaded(page)


@pytest.fixture
def comparing(window: Browser, listwise: httpx.Client) -> Iterator[Browser]:
    """The same of a service that ranks windows of passages."""
    for page in _opened(window, str(listwise.base_url).rstrip("/")):
        yield _loaded(page)


def _loaded(page: Browser) -> Browser:
    page.until(LOADED)
    page.type("[name=timeout]", "60000")
    return page


def search(page: Browser, query: str) -> None:
    page.type("#query", query)
    page.click("[type=submit]")
    page.until(DONE)


def rerank(page: Browser, query: str, documents: str) -> None:
    page.click("a[href='#documents']")
    page.type("#query", query)
    page.script("document.querySelector('#documents').value = arguments[0]", documents)  # keys have no emoji
    page.click("[type=submit]")
    page.until(DONE)


def fits(page: Browser) -> bool:
    fitting: bool = page.script("return document.documentElement.scrollWidth <= innerWidth")
    return fitting


def broken_rules(page: Browser) -> Any:
    page.script(Path(os.environ[AXE]).read_text(encoding="utf-8"))
    return page.later(RULES)


def test_a_search_shows_both_lists_and_where_each_passage_went(ready: Browser, service: httpx.Client) -> None:
    search(ready, "read a csv file into dictionaries")

    asked = {"query": "read a csv file into dictionaries", "candidates": 50, "timeout_ms": 60_000}
    results = service.post("/v1/search", json=asked).json()["results"]
    first = service.post("/v1/search", json=asked | {"rerank": {"enabled": False}}).json()["results"]
    shown = [card.split("\n") for card in ready.texts(".list:nth-of-type(2) .head")]
    assert [card[1] for card in shown] == [result["document"]["title"] for result in results]
    assert ready.texts(".list:nth-of-type(1) .open") == [result["document"]["title"] for result in first]
    moves = [result["first_stage"]["rank"] - result["rank"] for result in results]
    signs = ["=" if move == 0 else f"{'▲' if move > 0 else '▼'} {abs(move)}" for move in moves]
    assert [card[2] for card in shown] == signs
    assert len(ready.script("return document.querySelectorAll('.lines path')")) == len(results)


def test_each_window_and_its_logits_can_be_seen(comparing: Browser) -> None:
    comparing.choose("[name=strategy]", "sliding")
    search(comparing, "read a csv file into dictionaries")
    assert comparing.text(".player output").startswith("Round 4 of 4")

    comparing.click(".player details summary")
    assert len(comparing.texts(".logits tbody tr")) == 20
    comparing.script("document.querySelector('.player [type=range]').focus()")
    comparing.press("Home")

    assert comparing.text(".player output").startswith("Round 1 of 4")
    comparing.click(".controls button")
    comparing.until("document.querySelector('.player output').value.startsWith('Round 4')")


def test_own_documents_are_ranked(ready: Browser) -> None:
    ready.click("a[href='#documents']")
    ready.click("#example")
    ready.click("[type=submit]")
    ready.until(DONE)

    assert "returned within 30 days" in ready.texts(".list:nth-of-type(2) .text")[0]


def test_two_settings_are_compared(comparing: Browser) -> None:
    comparing.click("#compare")
    comparing.choose("fieldset:nth-of-type(2) [name=strategy]", "top_down")
    comparing.type("fieldset:nth-of-type(2) [name=timeout]", "60000")
    search(comparing, "join two paths")

    assert comparing.texts(".list h2") == ["First stage", "A · sliding", "B · top_down"]
    assert len(comparing.texts(".panel")) == 2


def test_what_the_service_does_not_have_is_not_offered(ready: Browser, service: httpx.Client) -> None:
    schemas = service.get("/openapi.json").json()["components"]["schemas"]
    offered = ready.script("return !document.querySelector('[data-needs=feedback]').hidden")
    assert offered == ("feedback" in schemas["SearchBody"]["properties"])


def test_feedback_is_asked_for(ready: Browser, service: httpx.Client) -> None:
    ready.click("[name=feedback]")
    search(ready, "pack files into an archive")
    ready.click(".panel > details summary")

    assert '"feedback":true' in ready.text(".snippet pre")
    asked = {"query": "pack files into an archive", "candidates": 50, "feedback": True, "timeout_ms": 60_000}
    results = service.post("/v1/search", json=asked).json()["results"]
    assert ready.texts(".list:nth-of-type(2) .open") == [result["document"]["title"] for result in results]
    found = [result["first_stage"]["feedback"] for result in results]
    assert [move == "new" for move in ready.texts(".list:nth-of-type(2) .move")] == found


def test_the_call_can_be_copied(ready: Browser) -> None:
    search(ready, "read a csv file into dictionaries")
    ready.click(".panel > details summary")

    curl, python = ready.texts(".snippet pre")
    assert json.loads(curl.split(" -d '")[1][:-1])["rerank"] == {
        "profile": "onepass-embedded",
        "strategy": "pointwise",
    }
    compile(python, "snippet", "exec")
    ready.click(".snippet button")
    ready.until("document.querySelector('.snippet button').innerText != 'Copy'")


def test_a_degraded_answer_says_why(ready: Browser) -> None:
    asked = too_much("a question that was never asked before")
    ready.type("[name=timeout]", str(asked["timeout_ms"]))
    rerank(ready, asked["query"], "\n".join(asked["documents"]))

    assert ready.text(WARNING).startswith("Degraded: deadline.")


def test_a_field_that_cannot_be_used_is_told(comparing: Browser) -> None:
    comparing.type("[name=window]", "200")
    search(comparing, "read a csv file into dictionaries")

    assert "rerank.parameters.window" in comparing.text(WARNING)
    assert len(comparing.texts(".list:nth-of-type(1) .card")) == 10


def test_no_window_is_offered_where_each_passage_has_a_prompt_of_its_own(ready: Browser) -> None:
    assert ready.script("return document.querySelector('[data-needs=window]').hidden")


def test_passages_read_on_their_own_share_a_row(ready: Browser) -> None:
    search(ready, "read a csv file into dictionaries")

    ready.click(".player details summary")
    assert len(ready.texts(".logits tbody tr")) == 40  # of 50: a table shows no more


def test_text_is_text(ready: Browser) -> None:
    forged = "<script>document.title = 'forged'</script><img src=x onerror=\"document.title = 'forged'\"><b>bold</b>"
    rerank(ready, "<b>bold</b>", f"{forged}\nplain")

    assert forged in ready.texts(".list:nth-of-type(2) .text")
    assert ready.script("return document.title") == "Onepass playground"
    assert not ready.script("return document.querySelectorAll('.list :is(img, script, b)').length")


def test_right_to_left_and_emoji(ready: Browser) -> None:
    hebrew, emoji = "אפשר להחזיר נעליים תוך שלושים יום", "👩‍👩‍👧‍👦 🎉 family day"
    rerank(ready, "החזרת נעליים", f"{hebrew}\n{emoji}")

    assert {hebrew, emoji} == set(ready.texts(".list:nth-of-type(2) .text"))
    directions = ready.script(
        "return [...document.querySelectorAll('.list:nth-of-type(2) .text')]"
        ".map((text) => [text.innerText, getComputedStyle(text).direction])"
    )
    assert dict(directions) == {hebrew: "rtl", emoji: "ltr"}


def test_a_keyboard_is_enough(ready: Browser) -> None:
    ready.script("document.activeElement.blur()")
    visited = []
    for _ in range(30):
        ready.press("Tab")
        visited.append(ready.script("return document.activeElement.id || document.activeElement.name"))
        if visited[-1] == "query":
            break
    assert "theme" in visited
    ready.press(*"join two paths", "Enter")
    ready.until(DONE)

    ready.script("document.querySelector('.open').focus()")
    ready.press("Enter")
    assert ready.script("return document.activeElement.getAttribute('aria-expanded')") == "true"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_never_scrolls_sideways(ready: Browser, width: int, scheme: str) -> None:
    ready.resize(width, 740)
    ready.prefer(scheme)
    assert broken_rules(ready) == []

    search(ready, "read a csv file into dictionaries")
    ready.script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert broken_rules(ready) == []
    assert fits(ready)

    rerank(ready, "q", "a" * 500 + "\nshort")
    assert fits(ready)

    ready.click("a[href='#status']")
    ready.until("document.querySelector('.tile')")
    assert broken_rules(ready) == []
    assert fits(ready)


def test_the_status_tells_how_the_service_is(ready: Browser, service: httpx.Client) -> None:
    ready.click("a[href='#status']")
    ready.until("document.querySelector('.tile')")

    tiles = dict(tile.split("\n", 1) for tile in ready.texts(".tile"))
    assert tiles["Service"].strip().startswith("ready")
    assert service.get("/readyz").json()["indexes"]["python-docs"] in tiles["Indexes"]
    assert {"Latency", "Cache hits", "Queue", "Models"} <= set(tiles)


def test_the_theme_is_kept(ready: Browser) -> None:
    ready.click("#theme")
    ready.click("#theme")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = ready.script(f"return {ground}")
    ready.script("location.reload()")
    ready.until(LOADED)

    assert ready.text("#theme") == "Theme: dark"
    assert ready.script(f"return {ground}") == dark
    ready.click("#theme")


def test_a_key_is_asked_for_and_too_much_is_told(window: Browser, demo_indexes: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.jsonl"
    keys.write_text(json.dumps({"sha256": digest("known"), "name": "known", "tenant": "known", "per_minute": 6}))
    settings = Settings.model_validate({"server": {"api_keys_file": keys}, "indexes": {"directory": demo_indexes}})
    with serving(settings) as service:
        for page in _opened(window, str(service.base_url).rstrip("/")):
            page.until("!document.querySelector('#keyed').hidden")
            page.type("#key", "known")
            page.press("Tab")
            page.until(LOADED)
            headers = {"Authorization": "Bearer known"}
            while service.get("/v1/indexes", headers=headers).status_code == 200:
                pass

            page.type("#query", "join two paths")
            page.click("[type=submit]")

            page.until("document.querySelector('#message').innerText.startsWith('Too much at once')")
            assert "Try again in" in page.text("#message")
