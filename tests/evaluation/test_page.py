from __future__ import annotations

from html.parser import HTMLParser

from service.evaluation.findings import Findings, Found
from tests.evaluation.measuring import QRELS, measured, plan_of


class Loads(HTMLParser):
    """Collects whatever would make a browser ask for something."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.plots = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.plots += tag == "svg"
        if tag in {"script", "link", "img", "iframe"} or {"src", "href"} & {name for name, _ in attrs}:
            self.asked.append(tag)


def findings(*strategies: str) -> Findings:
    measurements = {name: [measured(name, "q1"), measured(name, "q2")] for name in strategies}
    found = Found(measurements, {name: plan_of(name) for name in strategies})
    return Findings("<nature>", "given lists", found, QRELS)


def test_a_report_loads_nothing_and_shows_every_plot() -> None:
    page = Loads()
    page.feed(findings("sliding", "single").page())
    assert page.asked == []
    assert page.plots == 2 + 2 * 2


def test_what_was_measured_is_told_and_is_never_markup() -> None:
    page = findings("sliding").page()
    assert "<nature>" not in page
    assert "&lt;nature&gt;, 2 queries" in page
    assert "given lists, up to 10" in page
    assert "<td>sliding</td><td>perfect</td><td>1.0000</td>" in page


def test_queries_cut_short_are_counted() -> None:
    found = Found({"single": [measured("single", "q1", degraded=True), measured("single", "q2")]}, {})
    assert Findings("n", "given", found, QRELS).cut_short() == {"single": 1}
