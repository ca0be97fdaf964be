from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from service.evaluation.plots import Axes, bars, dots, lines, stacked_bars, steps

AXES = Axes("Title <1>", "across", "up")
SVG = "{http://www.w3.org/2000/svg}"


def elements(svg: str, name: str) -> list[ET.Element]:
    return ET.fromstring(svg).findall(SVG + name)  # noqa: S314  our own


def test_a_step_keeps_its_height_until_the_next_point() -> None:
    (line,) = elements(steps(AXES, {"one": [(0, 0.2), (1, 0.2), (3, 0.4)]}), "polyline")
    places = [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert places[-2][0] == places[-1][0]
    assert places[-2][1] == places[0][1] > places[-1][1]


def test_every_point_is_marked_and_told() -> None:
    marks = elements(dots(AXES, {"a": [(1, 2), (3, 4)], "b": [(5, 6)]}), "circle")
    assert [mark[0].text for mark in marks] == ["1, 2", "3, 4", "5, 6"]
    assert len({mark.attrib["fill"] for mark in marks}) == 2


def test_gains_go_up_and_losses_down() -> None:
    loss, gain = elements(bars(AXES, {"q1": -0.5, "q2": 0.5}), "rect")
    assert loss.attrib["height"] == gain.attrib["height"]
    assert float(gain.attrib["y"]) < float(loss.attrib["y"])
    assert loss[0].text == "q1: -0.500"


def test_a_logarithmic_axis_has_powers_of_ten_and_leaves_out_what_has_no_logarithm() -> None:
    svg = lines(Axes("", "across", "up", log=True), {"a": [(0, 0), (1, 2), (2, float("nan")), (3, 200)]})
    texts = {text.text for text in elements(svg, "text")}
    assert {"1", "10", "100", "1e+03"} <= texts
    assert len(elements(svg, "polyline")[0].attrib["points"].split()) == 2


def test_parts_of_a_bar_stand_on_each_other() -> None:
    svg = stacked_bars(AXES, {"one": {"a": 1, "b": 3}, "two": {"b": 4}})
    rectangles = [each for each in elements(svg, "rect") if len(each)]
    below, above = rectangles[0].attrib, rectangles[1].attrib
    assert float(above["y"]) + float(above["height"]) == pytest.approx(float(below["y"]), abs=0.11)
    assert float(above["height"]) == pytest.approx(3 * float(below["height"]), abs=0.3)


def test_titles_and_names_are_text_and_never_markup() -> None:
    texts = [text.text for text in elements(steps(AXES, {"<b>": [(0, 1)]}), "text")]
    assert {"Title <1>", "across", "up", "<b>"} <= set(texts)


@pytest.mark.parametrize(
    "svg",
    [
        steps(AXES, {}),
        dots(AXES, {"a": []}),
        bars(AXES, {}),
        dots(AXES, {"a": [(0, 0)]}),
        lines(AXES, {}),
        stacked_bars(AXES, {}),
    ],
)
def test_a_plot_of_nothing_is_a_plot(svg: str) -> None:
    assert elements(svg, "path")
