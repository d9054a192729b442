"""mAP against the size that a study scales, one line per setting of the rest, with fitted laws and their bands."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.fits import PowerLaw
from harness.analysis.names import axis_label, value_name
from harness.analysis.report.axes import is_size
from harness.analysis.report.figures.style import (
    NUM_COLOURS,
    SYMBOLS,
    Figure,
    Trace,
    about,
    hover,
    kinds,
    plain,
    size_axis,
)
from harness.analysis.report.gather import MOST_FITS, Report
from harness.analysis.summary import Group, lines

APART = 0.008
"""Distance between the lines' points at one x, as a share of the axis, so that bars do not hide each other."""


def curves(report: Report) -> Figure | None:
    """Return the figure, or None when nothing varies or no setting has a result."""
    if report.x is None or not report.scored:
        return None
    named = lines(sorted(report.scored, key=lambda group: _order(group.values[report.x or ""])), report.x)
    many = len(named) > MOST_FITS
    traces = _cloud(report) if many else _lines(report, named)
    return Figure(
        name="curves",
        title=f"mAP against {axis_label(report.x)}",
        caption=_caption(report, many=many),
        traces=tuple(traces),
        layout={
            "xaxis": _x_axis(report),
            "yaxis": {"title": {"text": "average mAP (%)"}},
            "showlegend": len(traces) > 1,
        },
    )


def _lines(report: Report, named: Mapping[str, Sequence[Group]]) -> list[Trace]:
    bands, drawn = [], []
    for index, (name, groups) in enumerate(named.items()):
        colour, symbol = f"@{index % NUM_COLOURS}", SYMBOLS[index % len(SYMBOLS)]
        fit = report.fits.get(name)
        xs = _places(groups, report, index - (len(named) - 1) / 2)
        fitted = isinstance(fit, PowerLaw)
        if isinstance(fit, PowerLaw):
            bands += _band(fit, colour, name)
            drawn.append(_law(fit, colour, name))
        drawn.append(_seeds(groups, xs, colour, name))
        drawn.append(_means(groups, xs, report, colour, symbol, name, joined=not fitted))
    return [*bands, *drawn]


def _cloud(report: Report) -> list[Trace]:
    """Return single points by colour: where every setting is a line of its own, lines would say nothing."""
    return [
        _means(
            kind.groups,
            _places(kind.groups, report, 0),
            report,
            kind.colour,
            kind.symbol,
            kind.label,
            joined=False,
        )
        for kind in kinds(report.scored, report.by)
    ]


def _means(
    groups: Sequence[Group],
    xs: Sequence[Any],
    report: Report,
    colour: str,
    symbol: str,
    name: str,
    *,
    joined: bool,
) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines+markers" if joined else "markers",
        "name": plain(name),
        "legendgroup": plain(name),
        "x": list(xs),
        "y": [100 * group.map_avg.mean for group in groups if group.map_avg],
        "error_y": {
            "type": "data",
            "array": [100 * (group.map_avg.spread or 0) for group in groups if group.map_avg],
            "color": colour,
            "thickness": 1.4,
            "width": 4,
        },
        "line": {"color": colour, "width": 1.5},
        "marker": {"color": colour, "symbol": symbol, "size": 9},
        "hovertext": [hover(about(group, report)) for group in groups],
        "hoverinfo": "text",
    }


def _seeds(groups: Sequence[Group], xs: Sequence[Any], colour: str, name: str) -> Trace:
    points = [
        (x, score, seed)
        for x, group in zip(xs, groups, strict=True)
        for score, seed in zip(group.maps, group.seeds, strict=True)
        if len(group.maps) > 1
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "legendgroup": plain(name),
        "showlegend": False,
        "x": [x for x, _, _ in points],
        "y": [100 * score for _, score, _ in points],
        "marker": {"color": colour, "symbol": "circle-open", "size": 6},
        "hovertext": [hover([name, f"seed {seed}: mAP {100 * score:.1f} %"]) for _, score, seed in points],
        "hoverinfo": "text",
    }


def _law(fit: PowerLaw, colour: str, name: str) -> Trace:
    sizes = np.geomspace(fit.x_min, fit.x_max, 60)
    return {
        "type": "scatter",
        "mode": "lines",
        "legendgroup": plain(name),
        "showlegend": False,
        "x": _short(sizes),
        "y": _short(100 * fit.map_at(sizes)),
        "line": {"color": colour, "width": 1.5, "dash": "dash"},
        "hoverinfo": "skip",
    }


def _band(fit: PowerLaw, colour: str, name: str) -> list[Trace]:
    sizes = np.geomspace(fit.x_min, fit.x_max, 60)
    band = fit.map_band(sizes)
    if band is None:
        return []
    low, high = band
    outline = {
        "type": "scatter",
        "mode": "lines",
        "fill": "toself",
        "legendgroup": plain(name),
        "showlegend": False,
        "x": _short(np.concatenate([sizes, sizes[::-1]])),
        "y": _short(100 * np.concatenate([high, low[::-1]])),
        "line": {"width": 0, "color": colour},
        "fillcolor": f"{colour}/0.14",
        "hoverinfo": "skip",
    }
    return [outline]


def _places(groups: Sequence[Group], report: Report, step: float) -> list[Any]:
    """Return where the points of a line stand; on a logarithmic axis lines are set apart a little."""
    assert report.x is not None
    values = [group.values[report.x] for group in groups]
    if not _numeric(report):
        return [plain(value_name(report.x, value)) for value in values]
    sizes = [group.values[report.x] for group in report.scored]
    span = np.log(max(sizes) / min(sizes)) or 1.0
    return [float(value * np.exp(step * APART * span)) for value in values]


def _x_axis(report: Report) -> dict[str, Any]:
    assert report.x is not None
    values = [group.values[report.x] for group in report.scored]
    if _numeric(report):
        return size_axis(axis_label(report.x), report.x, values)
    size = {value: max(g.params_total or 0 for g in report.scored if g.values[report.x] == value) for value in values}
    ordered = sorted(size, key=lambda value: (size[value], str(value)))  # backbones by size, not by name
    names = [plain(value_name(report.x, value)) for value in ordered]
    return {
        "title": {"text": axis_label(report.x)},
        "type": "category",
        "categoryorder": "array",
        "categoryarray": names,
    }


def _numeric(report: Report) -> bool:
    return all(is_size(group.values[report.x or ""]) for group in report.scored)


def _order(value: Any) -> tuple[float, str]:
    return (value, "") if is_size(value) else (0.0, str(value))


def _short(values: np.ndarray) -> list[float]:
    """Return numbers with the digits that a screen can show."""
    return [float(f"{value:.5g}") for value in values]


def _caption(report: Report, *, many: bool) -> str:
    if many:
        return f"A point is one setting. There are more than {MOST_FITS} lines, so none is drawn or fitted."
    spread = sorted({g.map_avg.explained() for g in report.scored if g.map_avg and g.map_avg.n > 1})
    parts = [f"Rings: single seeds; bars: {' or '.join(spread)}." if spread else "One seed at every point, so no bars."]
    if any(isinstance(fit, PowerLaw) for fit in report.fits.values()):
        band = any(isinstance(fit, PowerLaw) and fit.c_interval for fit in report.fits.values())
        parts.append(f"Dashed: fitted power law of the error 1 - mAP{' with its 95 % band' if band else ''}.")
    return " ".join(parts)
