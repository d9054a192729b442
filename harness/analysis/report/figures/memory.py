"""Predicted against measured peak memory, trial by trial, and by how much they differ."""

from collections.abc import Sequence

from harness.analysis.report.axes import Row
from harness.analysis.report.figures.style import Figure, Trace, hover, kinds, number_axis, plain
from harness.analysis.report.gather import Report


def predictions(report: Report) -> Figure | None:
    """Return measured over predicted peaks with the line where they agree, or None for fewer than two trials."""
    rows = compared(report)
    if len(rows) < 2:
        return None
    unit = report.memory_unit
    peaks = [row[name] / unit.factor for row in rows for name in ("peak_bytes", "predicted_peak_bytes")]
    ends = [min(peaks), max(peaks)]
    agreement: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "equal",
        "x": ends,
        "y": ends,
        "line": {"color": "@muted", "width": 1, "dash": "dash"},
        "hoverinfo": "skip",
    }
    return Figure(
        name="predictions",
        title="Predicted and measured peak memory",
        caption="A point is one trial; on the dashed line prediction and measurement are equal.",
        traces=(agreement, *_traces(report, rows, lambda row: row["peak_bytes"] / unit.factor)),
        layout={
            "xaxis": number_axis(f"predicted peak ({unit.name})", peaks),
            "yaxis": number_axis(f"measured peak ({unit.name})", peaks),
            "showlegend": report.by is not None,
        },
    )


def deviations(report: Report) -> Figure | None:
    """Return by how many percent measured peaks lie above predicted ones, or None for fewer than two trials."""
    rows = compared(report)
    if len(rows) < 2:
        return None
    unit = report.memory_unit
    largest = max(abs(deviation(row)) for row in rows)
    reach = max(1.2 * largest, 1.0)
    return Figure(
        name="deviations",
        title="Deviation of the prediction",
        caption=f"Measured over predicted peak, less one; the largest deviation of {len(rows)} trials is "
        f"{largest:.2f} %. Above zero a trial needed more than was predicted.",
        traces=tuple(_traces(report, rows, deviation)),
        layout={
            "xaxis": number_axis(
                f"predicted peak ({unit.name})", [row["predicted_peak_bytes"] / unit.factor for row in rows]
            ),
            "yaxis": {"title": {"text": "measured above predicted (%)"}, "range": [-reach, reach], "zeroline": True},
            "showlegend": report.by is not None,
        },
    )


def compared(report: Report) -> list[Row]:
    """Return the trials with a predicted and a measured peak."""
    return [row for row in report.rows if row["peak_bytes"] and row["predicted_peak_bytes"]]


def deviation(row: Row) -> float:
    """Return by how many percent the measured peak lies above the predicted one."""
    return 100 * (row["peak_bytes"] / row["predicted_peak_bytes"] - 1)


def _traces(report: Report, rows: Sequence[Row], height) -> list[Trace]:
    unit = report.memory_unit
    traces = []
    for kind in kinds(report.groups, report.by):
        names = {group.name for group in kind.groups}
        members = [row for row in rows if report.setting_of[row["digest"]] in names]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(kind.label),
                "x": [row["predicted_peak_bytes"] / unit.factor for row in members],
                "y": [height(row) for row in members],
                "marker": {"color": f"{kind.colour}/0.75", "symbol": kind.symbol, "size": 8},
                "hovertext": [_about(row, report) for row in members],
                "hoverinfo": "text",
            }
        )
    return traces


def _about(row: Row, report: Report) -> str:
    unit = report.memory_unit
    return hover(
        [
            row["trial"],
            f"predicted {unit.text(row['predicted_peak_bytes'], 2)} {unit.name}",
            f"measured {unit.text(row['peak_bytes'], 2)} {unit.name} ({deviation(row):+.2f} %)",
        ]
    )
