from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from loadtest.load_report import OUTSIDE, Run, markdown, page, stage_medians
from loadtest.open_loop import Answered, Phase, Reply

STAGES = {"rank": 80.0, "total": 90.0}
RUN = Run(
    "spike",
    "<ours>",
    [Phase("0.5x", 2, 1.0), Phase("3x", 1, 3.0)],
    [
        Answered(Reply("full", STAGES), 0.5, 0.1),
        Answered(Reply("cached", {"rank": 0.0, "total": 1.0}), 1.5, 0.002),
        Answered(Reply("full", STAGES), 2.1, 0.2),
        Answered(Reply("429"), 2.2, 0.001),
    ],
)


def test_each_phase_has_a_row_with_rates_and_latencies_of_whole_answers() -> None:
    rows = markdown([RUN]).splitlines()[2:]
    assert rows == [
        "| spike | <ours> | 0.5x | 1.00 | 0.50 | 0.50 | none | 100 | 100 | 100 | 100 |",
        "| spike | <ours> | 3x | 2.00 | 1.00 | 0.00 | 429 1.00 | 200 | 200 | 200 | 200 |",
    ]


def test_what_the_stages_leave_is_told() -> None:
    """100 ms, 90 of them in the service, of which 80 ranked."""
    assert stage_medians(RUN.answers[:1]) == pytest.approx({"rank": 80, OUTSIDE: 10})
    assert stage_medians(RUN.answers[3:]) == {}


def test_the_page_loads_nothing_and_its_plots_are_well_formed() -> None:
    html = page("Load", {"machine": "two cores & others"}, [RUN])
    assert not re.search(r"(src|href)=|@import|url\(|<script", html)
    assert "&lt;ours&gt;" in html
    assert "two cores &amp; others" in html
    plots = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(plots) == 4
    for plot in plots:
        drawing = ET.fromstring(plot)  # noqa: S314  our own
        assert not [value for each in drawing.iter() for value in each.attrib.values() if "nan" in value]


def test_a_run_without_answers_is_drawn_as_well() -> None:
    assert "<svg" in page("Load", {}, [Run("steady", "away", [Phase("1x", 1, 1)], [])])
