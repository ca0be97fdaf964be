"""Plots as SVG, to stand in a page that loads nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 150, 30, 45
_COLOURS = ("steelblue", "darkorange", "seagreen", "firebrick", "slateblue", "sienna", "teal", "gray")
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Axes:
    """What a plot shows; ``log`` for a logarithmic vertical axis."""

    title: str
    across: str
    up: str
    log: bool = False


def lines(axes: Axes, series: Mapping[str, Points]) -> str:
    """One line for each series; points that are not finite are left out."""
    shown = {name: _drawable(points, log=axes.log) for name, points in series.items()}
    scale = _Scale([point for points in shown.values() for point in points], log=axes.log)
    drawn = [
        f'<polyline points="{" ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in points)}" fill="none" '
        f'stroke="{colour}" stroke-width="2"/>'
        for points, colour in zip(shown.values(), _colours(len(shown)), strict=True)
    ]
    return _framed(axes, scale, drawn, list(shown))


def stacked_bars(axes: Axes, bars: Mapping[str, Mapping[str, float]]) -> str:
    """One bar for each name, of parts laid on each other; every part of a bar is named in the legend."""
    parts = list(dict.fromkeys(part for bar in bars.values() for part in bar))
    highest = max((sum(bar.values()) for bar in bars.values()), default=0.0)
    scale = _Scale([(0.0, 0.0), (float(len(bars)), highest)], log=False)
    drawn = []
    for place, (name, bar) in enumerate(bars.items()):
        middle, foot = scale.x(place + 0.5), 0.0
        for part, colour in zip(parts, _colours(len(parts)), strict=True):
            top = foot + bar.get(part, 0.0)
            height = scale.y(foot) - scale.y(top)
            width = (scale.x(1) - scale.x(0)) * 0.6
            drawn.append(
                f'<rect x="{middle - width / 2:.1f}" y="{scale.y(top):.1f}" width="{width:.1f}" '
                f'height="{height:.1f}" fill="{colour}"><title>{escape(part)} {top - foot:.1f}</title></rect>'
            )
            foot = top
        drawn.append(_text(middle, HEIGHT - _BOTTOM + 15, name, anchor="middle"))
    return _framed(axes, scale, drawn, parts, numbers_across=False)


class _Scale:
    """From values to pixels; both axes begin at 0, but for a logarithmic one."""

    def __init__(self, points: Points, *, log: bool) -> None:
        self.log = log
        self.widest = max((x for x, _ in points), default=1.0) or 1.0
        heights = [y for _, y in points] or [1.0]
        self.lowest = 10.0 ** math.floor(math.log10(min(heights))) if log else 0.0
        self.highest = 10.0 ** math.ceil(math.log10(max(heights))) if log else max(heights) or 1.0
        if log and self.highest == self.lowest:
            self.highest *= 10

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return _LEFT + value / self.widest * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        if self.log:
            share = math.log10(value / self.lowest) / math.log10(self.highest / self.lowest)
        else:
            share = value / self.highest
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    def heights(self) -> list[float]:
        """Where to write numbers on the vertical axis."""
        if self.log:
            return [10.0**power for power in range(round(math.log10(self.lowest)), round(math.log10(self.highest)) + 1)]
        return [self.highest * tick / _TICKS for tick in range(_TICKS + 1)]


def _framed(
    axes: Axes, scale: _Scale, drawn: Sequence[str], names: Sequence[str], *, numbers_across: bool = True
) -> str:
    floor, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    frame = [
        _text(_LEFT, 18, axes.title, bold=True),
        _text((_LEFT + right) / 2, HEIGHT - 8, axes.across, anchor="middle"),
        f'<g transform="translate(14 {(floor + _TOP) / 2}) rotate(-90)">{_text(0, 0, axes.up, anchor="middle")}</g>',
        f'<path d="M{_LEFT} {_TOP}V{floor}H{right}" fill="none" stroke="gray"/>',
    ]
    for height in scale.heights():
        frame.append(f'<path d="M{_LEFT} {scale.y(height):.1f}H{right}" stroke="lightgray" stroke-width="0.5"/>')
        frame.append(_text(_LEFT - 5, scale.y(height) + 4, f"{height:.3g}", anchor="end"))
    if numbers_across:
        across = [scale.widest * tick / _TICKS for tick in range(_TICKS + 1)]
        frame += [_text(scale.x(x), floor + 15, f"{x:.3g}", anchor="middle") for x in across]
    for row, (name, colour) in enumerate(zip(names, _colours(len(names)), strict=True)):
        frame.append(f'<rect x="{right + 12}" y="{_TOP + 18 * row}" width="10" height="10" fill="{colour}"/>')
        frame.append(_text(right + 27, _TOP + 9 + 18 * row, name))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'font-family="sans-serif" font-size="11" role="img">{"".join(frame)}{"".join(drawn)}</svg>\n'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _drawable(points: Points, *, log: bool) -> Points:
    return [(x, y) for x, y in points if math.isfinite(y) and (y > 0 or not log)]


def _colours(count: int) -> list[str]:
    return [_COLOURS[place % len(_COLOURS)] for place in range(count)]
