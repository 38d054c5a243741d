"""Charts as SVG: bars or lines over a few named places, in panels beside and below each other.

The same numbers give the same bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

PANEL_HEIGHT, MARGIN_LEFT, MARGIN_TOP, MARGIN_BOTTOM, LEGEND = 300, 62, 34, 46, 34
INK, GRID = "#222", "#ddd"


@dataclass(frozen=True)
class Panel:
    """One chart. A value that is None is left out."""

    title: str
    unit: str
    """What the vertical axis counts."""
    places: Sequence[str]
    """What stands below the horizontal axis."""
    below: str
    """What the horizontal axis is."""
    series: dict[str, Sequence[float | None]]
    """By their names, a value for each place."""
    bars: bool = False
    log: bool = False


def draw(panels: Sequence[Panel], colours: dict[str, str], columns: int, width: int) -> str:
    """All panels, so many beside each other, each so many pixels wide, under one legend."""
    rows = math.ceil(len(panels) / columns)
    size = f'width="{columns * width}" height="{LEGEND + rows * PANEL_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" fill="{INK}">',
        '<rect width="100%" height="100%" fill="white"/>',
        *_legend([name for name in colours if any(name in panel.series for panel in panels)], colours),
    ]
    for index, panel in enumerate(panels):
        place = f"{index % columns * width},{LEGEND + index // columns * PANEL_HEIGHT}"
        parts += [f'<g transform="translate({place})">', *_panel(panel, colours, width), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(names: Sequence[str], colours: dict[str, str]) -> list[str]:
    parts, left = [], MARGIN_LEFT
    for name in names:
        parts.append(f'<rect x="{left}" y="12" width="12" height="12" fill="{colours[name]}"/>')
        parts.append(_text(left + 17, 23, name))
        left += 40 + 7 * len(name)
    return parts


def _text(x: float, y: float, text: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _ticks(values: Sequence[float], log: bool) -> list[float]:
    """Round numbers from below all values to above them."""
    if log:
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return [10.0**power for power in range(first, max(last, first + 1) + 1)]
    raw = max(values) / 4
    step = next(step for power in range(-3, 9) for digit in (1, 2, 5) if (step := digit * 10.0**power) >= raw)
    return [step * index for index in range(math.ceil(max(values) / step) + 1)]


def _panel(panel: Panel, colours: dict[str, str], width: int) -> list[str]:
    values = [value for of in panel.series.values() for value in of if value is not None and (value > 0 or not panel.log)]
    parts = [_text(width / 2, 18, panel.title, "middle", ' font-weight="bold"')]
    if not values or max(values) <= 0:
        return [*parts, _text(width / 2, PANEL_HEIGHT / 2, "not measured", "middle")]
    ticks = _ticks(values, panel.log)
    right, bottom = width - 14, PANEL_HEIGHT - MARGIN_BOTTOM
    scale = math.log10 if panel.log else float

    def y(value: float) -> float:
        return bottom - (scale(value) - scale(ticks[0])) / (scale(ticks[-1]) - scale(ticks[0])) * (bottom - MARGIN_TOP)

    slot = (right - MARGIN_LEFT) / len(panel.places)
    for tick in ticks:
        parts.append(f'<path d="M{MARGIN_LEFT} {y(tick):.1f}H{right}" stroke="{GRID}"/>')
        parts.append(_text(MARGIN_LEFT - 5, y(tick) + 4, f"{tick:,g}", "end"))
    for index, place in enumerate(panel.places):
        parts.append(_text(MARGIN_LEFT + slot * (index + 0.5), bottom + 16, place, "middle"))
    middle = (MARGIN_TOP + bottom) / 2
    parts.append(_text(14, middle, panel.unit, "middle", f' transform="rotate(-90 14 {middle:.1f})"'))
    parts.append(_text((MARGIN_LEFT + right) / 2, bottom + 36, panel.below, "middle"))
    for number, (name, of) in enumerate(panel.series.items()):
        points = [(index, value) for index, value in enumerate(of) if value is not None and (value > 0 or not panel.log)]
        if panel.bars:
            wide = slot * 0.8 / len(panel.series)
            for index, value in points:
                at = MARGIN_LEFT + slot * (index + 0.1) + wide * number
                top = y(value)
                shape = f'x="{at:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{bottom - top:.1f}"'
                parts.append(f'<rect {shape} fill="{colours[name]}"><title>{escape(name)}: {value:.4g}</title></rect>')
        elif points:
            places = [f"{MARGIN_LEFT + slot * (index + 0.5):.1f} {y(value):.1f}" for index, value in points]
            parts.append(f'<path d="M{"L".join(places)}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
            dots = [place.split() for place in places]
            parts += [f'<circle cx="{x}" cy="{top}" r="3" fill="{colours[name]}"/>' for x, top in dots]
    return parts
