"""mAP against the size that a study scales, one line per setting of the rest, with fitted laws and their bands."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from harness.analysis.fits import Curve
from harness.analysis.names import axis_label, value_name
from harness.analysis.report.axes import is_size
from harness.analysis.report.figures.style import (
    MOST_BARS,
    NUM_COLOURS,
    SYMBOLS,
    Figure,
    Trace,
    about,
    bars,
    hover,
    kinds,
    plain,
    size_axis,
)
from harness.analysis.report.gather import Report
from harness.analysis.report.lines import MOST_FITS, map_band, map_line
from harness.analysis.summary import Group, lines

APART = 0.008
"""Distance between the lines' points at one x, as a share of the axis, so that bars do not hide each other."""
KINDS_APART = 0.06
"""The same where x is a kind, in steps from one kind to the next."""


def curves(report: Report) -> Figure | None:
    """Return the figure, or None when nothing varies or no setting has a result."""
    if report.x is None or not report.scored:
        return None
    named = lines(_along_x(report), report.x)
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


def _along_x(report: Report) -> list[Group]:
    """Return the settings in the order of the horizontal axis, otherwise in that of the study."""
    scored = [group for group in report.groups if group.map_avg]
    return [
        group for _, group in sorted(zip(_places(scored, report, 0), scored, strict=True), key=lambda pair: pair[0])
    ]


def _lines(report: Report, named: Mapping[str, Sequence[Group]]) -> list[Trace]:
    bands, drawn = [], []
    for index, (name, groups) in enumerate(named.items()):
        # With more lines than colours, the colours come again with other symbols.
        turn = index // NUM_COLOURS
        colour, symbol = f"@{index % NUM_COLOURS}", SYMBOLS[(index + turn) % len(SYMBOLS)]
        fit = report.fits.get(name)
        xs = _places(groups, report, index - (len(named) - 1) / 2)
        if isinstance(fit, Curve):
            bands += [*_band(fit, colour, name, of="trial"), *_band(fit, colour, name, of="mean")]
            drawn.append(_law(fit, colour, name))
        drawn.append(_seeds(groups, xs, colour, name))
        drawn.append(_means(groups, xs, report, colour, symbol, name, joined=not isinstance(fit, Curve)))
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
        "error_y": bars(groups, colour, width=4) if len(report.scored) <= MOST_BARS else None,
        "line": {"color": colour, "width": 1.5},
        "marker": {"color": colour, "symbol": symbol, "size": 9 if len(report.scored) <= MOST_BARS else 6},
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


def _law(fit: Curve, colour: str, name: str) -> Trace:
    sizes, heights = map_line(fit)
    return {
        "type": "scatter",
        "mode": "lines",
        "legendgroup": plain(name),
        "showlegend": False,
        "x": _short(sizes),
        "y": _short(heights),
        "line": {"color": colour, "width": 1.5, "dash": "dash"},
        "hoverinfo": "skip",
    }


def _band(fit: Curve, colour: str, name: str, *, of: Literal["mean", "trial"]) -> list[Trace]:
    sizes, _ = map_line(fit)
    band = map_band(fit, sizes, of=of)
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
        "y": _short(np.concatenate([high, low[::-1]])),
        "line": {"width": 0, "color": colour},
        "fillcolor": f"{colour}/{0.2 if of == 'mean' else 0.08}",
        "hoverinfo": "skip",
    }
    return [outline]


def _places(groups: Sequence[Group], report: Report, step: float) -> list[float]:
    """Return where the points of a line stand; lines are set apart a little, so that bars do not hide each other."""
    assert report.x is not None
    values = [group.values[report.x] for group in groups]
    if not _numeric(report):
        ordered = _kinds_in_order(report)
        return [ordered.index(value) + step * KINDS_APART for value in values]
    sizes = [group.values[report.x] for group in report.scored]
    span = np.log(max(sizes) / min(sizes)) or 1.0
    return [float(value * np.exp(step * APART * span)) for value in values]


def _x_axis(report: Report) -> dict[str, Any]:
    assert report.x is not None
    values = [group.values[report.x] for group in report.scored]
    if _numeric(report):
        low, high = np.log10(min(values)), np.log10(max(values))
        room = 0.06 * (high - low) or 0.1
        return {**size_axis(axis_label(report.x), report.x, values), "range": [low - room, high + room]}
    names = [plain(value_name(report.x, value)) for value in _kinds_in_order(report)]
    return {
        "title": {"text": axis_label(report.x)},
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "range": [-0.5, len(names) - 0.5],
    }


def _kinds_in_order(report: Report) -> list[Any]:
    """Return the values of x that are no sizes: backbones by their parameters, not by name."""
    size: dict[Any, int] = {}
    for group in report.scored:
        value = group.values[report.x or ""]
        size[value] = max(size.get(value, 0), group.params_total or 0)
    return sorted(size, key=lambda value: (size[value], str(value)))


def _numeric(report: Report) -> bool:
    return all(is_size(group.values[report.x or ""]) for group in report.scored)


def _short(values: np.ndarray) -> list[float]:
    """Return numbers with the digits that a screen can show."""
    return [float(f"{value:.5g}") for value in values]


def _caption(report: Report, *, many: bool) -> str:
    if many:
        return f"A point is one setting. There are more than {MOST_FITS} lines, so none is drawn or fitted."
    spread = sorted({g.map_avg.explained() for g in report.scored if g.map_avg and g.map_avg.n > 1})
    parts = [f"Rings: single seeds; bars: {' or '.join(spread)}." if spread else "One seed at every point, so no bars."]
    curves = [fit for fit in report.fits.values() if isinstance(fit, Curve)]
    if curves:
        level = f"{100 * curves[0].level:g} %"
        known = any(not curve.interval_refused for curve in curves)
        bands = f"; dark band: {level} interval of the mean, light band: of one new trial" if known else ""
        parts.append(f"Dashed: law fitted to the error 1 - mAP{bands}.")
    return " ".join(parts)
