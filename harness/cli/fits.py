"""What `tadscale fit` prints: a table and sentences for people, JSON for programs."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.fits import Curve, Refused, Surface
from harness.analysis.fits.words import said
from harness.analysis.table_lines import Columns
from harness.tables.formats import CONTROL

Fits = Mapping[str, Curve | Surface | Refused]
"""By the name of the line."""
Foretold = Mapping[str, Sequence[Mapping[str, Any]]]
"""By the name of the line: y at each x that was asked for, with bands."""
PIPE_WIDTH = 200
"""Of a table that no terminal limits."""


def as_json(fits: Fits, foretold: Foretold, columns: Columns, left_out: int) -> str:
    """Return everything at full precision; what is not finite is null."""
    lines = [
        {"line": name, "refused": fit.reason}
        if isinstance(fit, Refused)
        else {"line": name, **fit.as_json(), "foretold": foretold[name]}
        for name, fit in fits.items()
    ]
    where = {"x": list(columns.x), "y": columns.y, "best": columns.best, "seed": columns.seed, "by": list(columns.by)}
    document = {"columns": where, "rows_left_out": left_out, "lines": lines}
    return json.dumps(_finite(document), indent=1, allow_nan=False)


def print_table(fits: Fits, foretold: Foretold, columns: Columns, level: float) -> None:
    """Print a table with a row per line, then each line in words."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(width=width, highlight=False).print(_table(fits, foretold, columns, level))
    words = Console(soft_wrap=True, highlight=False)
    for name, fit in fits.items():
        for sentence in (fit.in_words(), *(each["warning"] for each in foretold[name] if each["warning"])):
            words.print(_plain(f"{name}: {sentence}"))


def _table(fits: Fits, foretold: Foretold, columns: Columns, level: float) -> Table:
    caption = f"in brackets: {100 * level:g} % intervals; RMSE is that of ln of fit over measurement"
    table = Table(caption=caption, caption_justify="left")
    held_out = any(isinstance(fit, Curve) and fit.hold_out for fit in fits.values())
    for head in ("line", "form", "parameters"):
        table.add_column(head)
    for head in ("trials", "RMSE", *(["RMSE on\nheld-out x"] if held_out else [])):
        table.add_column(head, justify="right")
    for each in max(foretold.values(), key=len, default=[]):
        table.add_column(_plain(f"{columns.y} at {_x(each['x'])}\nmean\none new trial"))
    for name, fit in fits.items():
        cells = [name, "none", fit.reason] if isinstance(fit, Refused) else _cells(name, fit, held_out=held_out)
        table.add_row(*map(_plain, cells), *(_foretold(each) for each in foretold[name]))
    return table


def _cells(name: str, fit: Curve | Surface, *, held_out: bool) -> list[str]:
    parameters = "\n".join(said(key, value, fit.intervals) for key, value in fit.parameters.items())
    form, held = (fit.form, fit.hold_out) if isinstance(fit, Curve) else ("chinchilla", None)
    cells = [name, form, parameters, str(fit.num_points), f"{fit.rmse_log:.4f}"]
    scores = sorted(held.rmse_log.items(), key=lambda score: score[1]) if held else []
    return [*cells, "\n".join(f"{other} {score:.4f}" for other, score in scores)] if held_out else cells


def _foretold(each: Mapping[str, Any]) -> Text:
    bands = [band for band in (each["confidence_band"], each["prediction_band"]) if band]
    return Text("\n".join([f"{each['y']:.4g}", *(f"[{low:.4g}, {high:.4g}]" for low, high in bands)]))


def _x(value: float | Sequence[float]) -> str:
    return f"{value:,g}" if isinstance(value, int | float) else " and ".join(f"{part:,g}" for part in value)


def _plain(text: str) -> Text:
    """Return text that is neither markup nor a command to the terminal: names come from files."""
    return Text("\n".join(line.translate(CONTROL) for line in text.split("\n")))


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float():
            return float(value) if math.isfinite(value) else None
    return value
