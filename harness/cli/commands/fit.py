"""`tadscale fit`: scaling curves of a study or of any table, with intervals, or the reason why there is none."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.analysis.fits import Curve, Refused, Surface
    from harness.analysis.table_lines import Columns, Line

FORMS = ("auto", "m1", "m2", "m3", "m4", "bnsl", "exp", "chinchilla")
"""Those of `harness.analysis.fits`, which `--help` need not wait for."""
BOOTSTRAPS = ("auto", "seeds", "residuals", "pairs", "clusters")
EXAMPLES = """\
examples:
  tadscale fit scale_frames                                   mAP over frames, a line for each resolution
  tadscale fit scale_frames --extrapolate-to 256 --plot curve.png
  tadscale fit scale_frames --x frames resolution --form chinchilla
  tadscale fit losses.csv --x tokens --y loss --by model --form auto --json
  tadscale query 'select frames, seed, 100 * map_avg as map from best' --format csv |
    tadscale fit - --x frames --y map --best 100
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "fit",
        help="fit scaling curves",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""\
Fit a law of y over x to single trials by least squares on ln y, with bootstrap intervals, and foretell larger x.
  m1    y = b x^c                         m2    y = e + b x^c
  m3    y = b (1/x + g)^c                 m4    (y - e) / (e0 - y)^a = b x^c
  exp   y = e + b exp(-x / tau)           bnsl  m2 with a smooth break
  chinchilla   y = E + A / x1^alpha + B / x2^beta, for two columns of x
  auto  the one that foretells the largest x best from the others
y is a loss, lower is better; a score such as mAP is fitted as its distance from --best. Too few x, or a y that does not
fall, is refused with the reason.""",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="name of a study below --results, its folder, a .csv or .parquet file, - for CSV",
    )
    parser.add_argument("--x", nargs="+", default=[], metavar="COLUMN", help="sizes (default: what the study scaled)")
    parser.add_argument("--y", metavar="COLUMN", help="outcome (default: map_avg of a study), also map_at[0.5]")
    parser.add_argument(
        "--best", type=float, metavar="VALUE", help="y is a score with this best value: 1 for mAP, or 100"
    )
    parser.add_argument("--seed-column", metavar="COLUMN", help="seed of each trial (default: seed, if there is one)")
    parser.add_argument("--by", nargs="*", metavar="COLUMN", help="a line for each value (default: what else varied)")
    parser.add_argument("--form", choices=FORMS, help="default: auto, or chinchilla for two columns of x")
    parser.add_argument("--level", type=float, default=0.9, help="of intervals (default: 0.9)")
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default: 1000)")
    parser.add_argument("--bootstrap", choices=BOOTSTRAPS, default="auto", help="what is resampled (default: auto)")
    parser.add_argument("--huber", type=float, metavar="D", help="residuals of ln y above D count linearly")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    parser.add_argument("--extrapolate-to", nargs="+", default=[], metavar="X", help="foretell y there; X1,X2 for two")
    parser.add_argument("--far", action="store_true", help="also past four times the measured range")
    parser.add_argument("--results", default="results", metavar="DIR", help="of the studies (default: results)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture to write: .png, .svg or .pdf")
    parser.add_argument("--json", action="store_true", help="print JSON, everything at full precision")
    return parser


def run(given: argparse.Namespace) -> int:
    """Fit every line and print what came of it."""
    from harness.analysis.fits import Refused
    from harness.analysis.table_lines import choose_columns, table_lines
    from harness.cli.fits import as_json, print_table

    form = _form(given.form, len(given.x))
    table = _read(given.source, given.results)
    columns = choose_columns(table, x=given.x, y=given.y, seed=given.seed_column, by=given.by, best=given.best)
    lines, left_out = table_lines(table, columns)
    targets = [_target(text, len(columns.x)) for text in given.extrapolate_to]
    fits = {line.name: _fit(line, columns, form, given) for line in lines}
    foretold = {name: _foretell(fit, targets, columns.best, far=given.far) for name, fit in fits.items()}
    if given.plot:
        _plot(given.plot, lines, fits, columns, targets)
    if given.json:
        print(as_json(fits, foretold, columns, left_out))
    else:
        print_table(fits, foretold, columns, given.level)
        if columns.best is None and all(isinstance(fit, Refused) for fit in fits.values()):
            print(f"if {columns.y} is a score, higher is better, name its best value: --best 1")
        if left_out:
            print(f"{left_out} rows without {' or '.join((*columns.x, columns.y))} are left out")
        if given.plot:
            print(f"picture: {given.plot}")
    return 0


def _form(wanted: str | None, num_x: int) -> str:
    form = wanted or ("chinchilla" if num_x == 2 else "auto")
    expected = 2 if form == "chinchilla" else 1
    if num_x > expected or (form == "chinchilla" and num_x != 2):
        raise UserError(f"--x names {num_x} columns, expected {expected} for --form {form}")
    return form


def _read(source: str, results: str) -> "pa.Table":
    """Return the table of a file, of a study, or on standard input."""
    path = Path(source)
    if source == "-":
        return _csv(sys.stdin.buffer)
    if path.suffix == ".csv" and path.is_file():
        return _csv(path)
    if path.suffix == ".parquet" and path.is_file():
        return _parquet(path)
    from harness.tables import load

    places = [source] if "://" in source else [place for place in (Path(results) / source, path) if place.is_dir()]
    if not places:
        raise UserError(f"SOURCE is {source}, expected a study below {results}, a folder, a .csv or a .parquet file")
    table = load(places[0])
    studies = sorted(set(table["study"].to_pylist()))
    if len(studies) != 1:
        found = f"the studies {', '.join(studies)}" if studies else "no results tables"
        raise UserError(f"SOURCE is {source} with {found}, expected those of one study")
    return table


def _csv(file: Any) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import csv

    try:
        return csv.read_csv(file)
    except pa.ArrowInvalid as error:
        raise UserError(f"SOURCE is no CSV with a line of column names: {error}") from None


def _parquet(path: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise UserError(f"SOURCE is {path}, no Parquet file: {error}") from None


def _target(text: str, num_x: int) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != num_x:
        expected = "a number" if num_x == 1 else "two numbers such as 1536,224"
        raise UserError(f"--extrapolate-to is {text}, expected {expected}")
    return values


def _fit(line: "Line", columns: "Columns", form: str, given: argparse.Namespace) -> "Curve | Surface | Refused":
    from harness.analysis.fits import fit_curve, fit_surface
    from harness.analysis.table_lines import said

    names = tuple(said(name) for name in columns.x)
    common: dict[str, Any] = {
        "seeds": line.seeds,
        "level": given.level,
        "resamples": given.resamples,
        "seed": given.seed,
        "bootstrap": given.bootstrap,
        "huber": given.huber,
        "y_name": said(columns.y) if columns.best is None else f"{columns.best:g} - {said(columns.y)}",
    }
    if form == "chinchilla":
        return fit_surface(line.sizes[0], line.sizes[1], line.y, x_names=(names[0], names[1]), **common)
    return fit_curve(line.sizes[0], line.y, form=form, ceiling=columns.best, x_name=names[0], **common)


def _foretell(
    fit: "Curve | Surface | Refused", targets: Sequence[tuple[float, ...]], best: float | None, *, far: bool
) -> list[dict[str, Any]]:
    """Return y at each target in its own unit, with both bands and a warning where it is far."""
    from harness.analysis.fits import Refused

    if isinstance(fit, Refused):
        return []
    found = []
    for target in targets:
        bands = [
            None if band is None else _in_unit([float(band[0][0]), float(band[1][0])], best)
            for band in (fit.confidence_band(*target, far=far), fit.prediction_band(*target, far=far))
        ]
        (y,) = _in_unit([float(fit.predict(*target, far=far)[0])], best)
        found.append(
            {
                "x": target[0] if len(target) == 1 else list(target),
                "y": y,
                "confidence_band": bands[0],
                "prediction_band": bands[1],
                "warning": fit.reach(*target),
            }
        )
    return found


def _in_unit(errors: list[float], best: float | None) -> list[float]:
    return errors if best is None else sorted(best - error for error in errors)


def _plot(
    path: Path, lines: "Sequence[Line]", fits: Any, columns: "Columns", targets: Sequence[tuple[float, ...]]
) -> None:
    from harness.analysis.fit_picture import plot_fits
    from harness.analysis.names import axis_label
    from harness.analysis.table_lines import said

    plot_fits(
        lines,
        fits,
        path,
        x_label=axis_label(columns.x[0]) if "." in columns.x[0] else columns.x[0],
        y_label=said(columns.y),
        reach=[target[0] for target in targets],
        best=columns.best,
    )
