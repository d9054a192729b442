"""The tables that answer a study's question: the fitted laws, and what a step of one knob buys."""

from harness.analysis.amounts import Unit
from harness.analysis.decisions import marginal_gains
from harness.analysis.decisions.marginal import Step
from harness.analysis.export import Cell, Column, Table
from harness.analysis.fits import Curve, Refused
from harness.analysis.names import setting_name, short_name, value_name
from harness.analysis.report.gather import Report
from harness.analysis.report.tables import number

MOST_STEPS = 100
MOST_COMPARED = 300
"""Settings up to which steps between them are listed."""


def fits_table(report: Report) -> Table | None:
    """Return one row per line with its law, what it rests on and how far to trust it; None where nothing is fitted."""
    if not report.fits:
        return None
    columns = (
        Column(key="line", head="line"),
        Column(key="law", head="law of the error"),
        Column(key="parameters", head="parameters"),
        Column(key="trials", head="trials", numeric=True),
        Column(key="rmse", head="RMSE of ln", numeric=True),
        Column(key="hold_out", head="RMSE on held-out", numeric=True),
        Column(key="note", head="to know"),
    )
    rows = tuple(
        _refused(name, fit) if isinstance(fit, Refused) else _fitted(name, fit) for name, fit in report.fits.items()
    )
    curves = [fit for fit in report.fits.values() if isinstance(fit, Curve)]
    level = f"In brackets: {100 * curves[0].level:g} % intervals. " if curves else ""
    chosen = any(curve.hold_out for curve in curves)
    held_out = f"; held out are the largest {short_name(report.x or '')}" if chosen else ""
    note = f"{level}RMSE is that of ln(error){held_out}"
    return Table(name="fits", title="Fitted laws", columns=columns, rows=rows, note=note).without_empty_columns()


def steps_table(report: Report) -> Table | None:
    """Return what turning one knob to its next value brought and cost, most mAP per GiB first; None without a step."""
    if len(report.scored) > MOST_COMPARED:
        return None
    gains = marginal_gains(report.scored)
    if not gains.steps:
        return None
    unit = report.memory_unit
    columns = (
        Column(key="knob", head="knob"),
        Column(key="from", head="from"),
        Column(key="to", head="to"),
        Column(key="rest", head="at"),
        Column(key="gain", head="gain, points of mAP", numeric=True),
        Column(key="cost", head=f"cost, {unit.name}", numeric=True),
        Column(key="rate", head=f"points per {unit.name}", numeric=True),
    )
    shown = gains.steps[:MOST_STEPS]
    rows = tuple(
        (
            Cell(short_name(step.knob)),
            Cell(value_name(step.knob, step.start.values[step.knob])),
            Cell(value_name(step.knob, step.end.values[step.knob])),
            Cell(setting_name({path: value for path, value in step.start.values.items() if path != step.knob})),
            _with_interval(100 * step.gain, None if step.half_width is None else 100 * step.half_width, signed=True),
            Cell(f"{step.extra_bytes / unit.factor:+,.1f}", step.extra_bytes / unit.factor),
            _rate(step, unit),
        )
        for step in shown
    )
    intervals = any(step.half_width is not None for step in shown)
    spread = (
        f"{100 * gains.level:g} % intervals from the spread over seeds" if intervals else "one seed, so no interval"
    )
    more = f"; the first {MOST_STEPS} of {len(gains.steps):,} steps" if len(gains.steps) > MOST_STEPS else ""
    return Table(
        name="steps", title="What a step of one knob buys", columns=columns, rows=rows, note=f"± are {spread}{more}"
    )


def _fitted(name: str, curve: Curve) -> tuple[Cell, ...]:
    parameters = ", ".join(_parameter(curve, key) for key in curve.parameters)
    held_out = curve.hold_out.rmse_log.get(curve.form) if curve.hold_out else None
    notes = [*([f"no interval: {curve.interval_refused}"] if curve.interval_refused else []), *curve.warnings]
    return (
        Cell(name),
        Cell(f"{curve.form}: {curve.formula}"),
        Cell(parameters),
        number(curve.num_points, 0),
        number(curve.rmse_log, 3),
        number(held_out, 3),
        Cell("; ".join(notes)),
    )


def _parameter(curve: Curve, key: str) -> str:
    value = f"{key} = {curve.parameters[key]:.4g}"
    if key not in curve.intervals:
        return value
    low, high = curve.intervals[key]
    return f"{value} [{low:.3g}, {high:.3g}]"


def _refused(name: str, refused: Refused) -> tuple[Cell, ...]:
    return (Cell(name), *(Cell("") for _ in range(5)), Cell(refused.reason))


def _with_interval(value: float, half_width: float | None, *, signed: bool = False) -> Cell:
    text = f"{value:+.1f}" if signed else f"{value:,.1f}"
    return Cell(text if half_width is None else f"{text} ± {half_width:,.1f}", value)


def _rate(step: Step, unit: Unit) -> Cell:
    if step.extra_bytes <= 0:
        return Cell("saves" if step.extra_bytes else "no cost")
    cost = step.extra_bytes / unit.factor
    return _with_interval(100 * step.gain / cost, None if step.half_width is None else 100 * step.half_width / cost)
