"""Plots as SVG, to stand in a page that loads nothing, or in a file of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 150, 30, 45
_COLOURS = ("steelblue", "darkorange", "seagreen", "firebrick", "slateblue", "sienna", "teal", "gray")
_TICKS = 5
_MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class Axes:
    """What a plot shows: its title, and what is counted ``across`` and ``up``; ``log`` upwards in powers of ten."""

    title: str
    across: str
    up: str
    log: bool = False


def lines(axes: Axes, series: Mapping[str, Points]) -> str:
    """A line for each series, over axes that begin at 0; what is not finite, or has no logarithm, is left out."""
    shown = {name: _drawable(points, log=axes.log) for name, points in series.items()}
    frame = _Frame([point for points in shown.values() for point in points], from_zero=True, log=axes.log)
    drawn = [
        f'<polyline points="{" ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)}" fill="none" '
        f'stroke="{colour}" stroke-width="2"/>'
        for points, colour in _coloured(shown)
    ]
    return _framed(axes, frame, drawn, list(shown))


def steps(axes: Axes, series: Mapping[str, Points]) -> str:
    """A line for each series that keeps its height from one point to the next; the points are marked."""
    frame = _Frame([point for points in series.values() for point in points])
    drawn = []
    for points, colour in _coloured(series):
        corners = [(x, y) for (_, y), (x, _) in pairwise(points)]
        path = [*points[:1], *(place for pair in zip(corners, points[1:], strict=True) for place in pair)]
        line = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in path)
        drawn.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        drawn += [_dot(frame, point, colour) for point in points]
    return _framed(axes, frame, drawn, list(series))


def dots(axes: Axes, series: Mapping[str, Points], *, diagonal: bool = False) -> str:
    """A dot for each point, in the colour of its series; ``diagonal`` draws the line of equal values."""
    frame = _Frame([point for points in series.values() for point in points])
    drawn = [_dot(frame, point, colour) for points, colour in _coloured(series) for point in points]
    if diagonal:
        low, high = max(frame.left, frame.low), min(frame.right, frame.high)
        ends = f"M{frame.x(low):.1f} {frame.y(low):.1f}L{frame.x(high):.1f} {frame.y(high):.1f}"
        drawn.insert(0, f'<path d="{ends}" stroke="lightgray"/>')
    return _framed(axes, frame, drawn, list(series))


def bars(axes: Axes, values: Mapping[str, float]) -> str:
    """A bar up or down from 0 for each name, which is shown where the bar is pointed at."""
    frame = _Frame([(0.0, 0.0), *((float(place), value) for place, value in enumerate(values.values(), 1))])
    width = frame.x(1) - frame.x(0)
    drawn = [
        f'<rect x="{frame.x(place):.1f}" y="{frame.y(max(value, 0)):.1f}" width="{0.9 * width:.2f}" '
        f'height="{abs(frame.y(value) - frame.y(0)):.1f}" fill="{_COLOURS[0 if value >= 0 else 3]}">'
        f"<title>{escape(name)}: {value:+.3f}</title></rect>"
        for place, (name, value) in enumerate(values.items())
    ]
    return _framed(axes, frame, drawn, [])


def stacked_bars(axes: Axes, values: Mapping[str, Mapping[str, float]]) -> str:
    """A bar for each name, of parts laid on each other; every part of a bar is named in the legend."""
    parts = list(dict.fromkeys(part for bar in values.values() for part in bar))
    highest = max((sum(bar.values()) for bar in values.values()), default=0.0)
    frame = _Frame([(0.0, 0.0), (float(len(values)), highest)], from_zero=True)
    width = 0.6 * (frame.x(1) - frame.x(0))
    drawn = []
    for place, (name, bar) in enumerate(values.items()):
        middle, foot = frame.x(place + 0.5), 0.0
        for part, colour in zip(parts, _colours(len(parts)), strict=True):
            top = foot + bar.get(part, 0.0)
            drawn.append(
                f'<rect x="{middle - width / 2:.1f}" y="{frame.y(top):.1f}" width="{width:.1f}" '
                f'height="{frame.y(foot) - frame.y(top):.1f}" fill="{colour}">'
                f"<title>{escape(part)} {top - foot:.1f}</title></rect>"
            )
            foot = top
        drawn.append(_text(middle, _HEIGHT - _BOTTOM + 15, name, anchor="middle"))
    return _framed(axes, frame, drawn, parts, numbers_across=False)


class _Frame:
    """From values to pixels: across from 0, or the least value below it; up between the values that there are.

    ``from_zero`` begins at 0 upwards as well; ``log`` has whole powers of ten at both ends, of values above 0.
    """

    def __init__(self, points: Points, *, from_zero: bool = False, log: bool = False) -> None:
        self.left = min([0.0, *(x for x, _ in points)])
        self.right = max([self.left, *(x for x, _ in points)])
        heights = [y for _, y in points] or [1.0 if log else 0.0]
        margin = _MARGIN * (max(heights) - min(heights))
        self.log = log
        if log:
            self.low = 10.0 ** math.floor(math.log10(min(heights)))
            self.high = max(10.0 ** math.ceil(math.log10(max(heights))), 10 * self.low)
        else:
            self.low = 0.0 if from_zero else min(heights) - margin
            self.high = max(heights) + (0.0 if from_zero else margin)

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return _LEFT + (value - self.left) / ((self.right - self.left) or 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        if self.log:
            share = math.log10(value / self.low) / math.log10(self.high / self.low)
        else:
            share = (value - self.low) / ((self.high - self.low) or 1.0)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def heights(self) -> list[float]:
        """Where to write numbers upwards."""
        if not self.log:
            return _ticks(self.low, self.high)
        return [10.0**power for power in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]


def _framed(
    axes: Axes, frame: _Frame, drawn: Sequence[str], names: Sequence[str], *, numbers_across: bool = True
) -> str:
    floor, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    sideways = f'transform="translate(14 {(floor + _TOP) / 2:.1f}) rotate(-90)" text-anchor="middle"'
    parts = [
        _text(_LEFT, 18, axes.title, bold=True),
        _text((_LEFT + right) / 2, _HEIGHT - 8, axes.across, anchor="middle"),
        f"<text {sideways}>{escape(axes.up)}</text>",
        f'<path d="M{_LEFT} {_TOP}V{floor}H{right}" fill="none" stroke="gray"/>',
    ]
    for height in frame.heights():
        parts.append(f'<path d="M{_LEFT} {frame.y(height):.1f}H{right}" stroke="lightgray" stroke-width="0.5"/>')
        parts.append(_text(_LEFT - 5, frame.y(height) + 4, f"{height:.3g}", anchor="end"))
    across = _ticks(frame.left, frame.right) if numbers_across else []
    parts += [_text(frame.x(x), floor + 15, f"{x:.4g}", anchor="middle") for x in across]
    for row, (name, colour) in enumerate(zip(names, _colours(len(names)), strict=True)):
        parts.append(f'<rect x="{right + 12}" y="{_TOP + 18 * row}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(right + 27, _TOP + 9 + 18 * row, name))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'font-family="sans-serif" font-size="11" role="img">{"".join(parts)}{"".join(drawn)}</svg>\n'
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two values: about ``_TICKS``, at steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    least = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _dot(frame: _Frame, point: tuple[float, float], colour: str) -> str:
    x, y = point
    told = f"<title>{x:.4g}, {y:.4g}</title>"
    return f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2.5" fill="{colour}">{told}</circle>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _drawable(points: Points, *, log: bool) -> Points:
    return [(x, y) for x, y in points if math.isfinite(y) and (y > 0 or not log)]


def _coloured(series: Mapping[str, Points]) -> Iterator[tuple[Points, str]]:
    return zip(series.values(), _colours(len(series)), strict=True)


def _colours(count: int) -> list[str]:
    return [_COLOURS[place % len(_COLOURS)] for place in range(count)]
