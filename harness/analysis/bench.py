"""Score the fits on public learning curves with published extrapolation errors (scaling-facts A1).

    python -m harness.analysis.bench FOLDER [--forms FORM ...] [--resamples N] [--json]

FOLDER holds `curves.csv` (Domain, Task, Model, Seen Examples, Loss, Training: 1 to fit on, 0 to extrapolate to) and
`published_rmse.csv` (the same curves with the errors M1 to M4 that Alabdulmohsin et al. print, arXiv:2209.06640). The
score of a curve is the root mean square of ln of prediction over measurement on its test points.
"""

import argparse
import csv
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.analysis.fits import Curve, fit_curve

PUBLISHED = ("m1", "m2", "m3", "m4")
SCORED = (*PUBLISHED, "exp", "auto")
MISPRINTED = frozenset({("NMT", "log_perplexity", "Dec-only")})
"""Curves whose published errors beyond M1 repeat another row's."""
Name = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class PublicCurve:
    """A curve, its split, and the errors that were published for it."""

    name: Name
    fit_x: np.ndarray
    fit_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    published: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Score:
    """How one form did on one curve."""

    rmse_log: float
    seconds: float
    """Processor time of the fit without resamples."""
    chosen: str
    num_held: int
    """Test points inside the prediction band."""
    num_test: int


def read_curves(folder: Path) -> list[PublicCurve]:
    """Return the curves of a benchmark folder."""
    rows: dict[Name, list[tuple[float, float, bool]]] = {}
    with open(folder / "curves.csv", newline="") as file:
        for row in csv.DictReader(file):
            name = (row["Domain"], row["Task"], row["Model"])
            point = (float(row["Seen Examples"]), float(row["Loss"]), row["Training"] == "1")
            rows.setdefault(name, []).append(point)
    with open(folder / "published_rmse.csv", newline="") as file:
        published = {
            (row["Domain"], row["Task"], row["Model"]): {form: float(row[form.upper()]) for form in PUBLISHED}
            for row in csv.DictReader(file)
        }
    curves = []
    for name, points in rows.items():
        x, y, known = (np.array(column) for column in zip(*points, strict=True))
        curves.append(
            PublicCurve(
                name=name,
                fit_x=x[known],
                fit_y=y[known],
                test_x=x[~known],
                test_y=y[~known],
                published=published[name],
            )
        )
    return curves


def score(curve: PublicCurve, form: str, *, level: float = 0.9, resamples: int = 1000) -> Score:
    """Fit a form to a curve's training points and score it on its test points."""
    began = time.process_time()
    plain = fit_curve(curve.fit_x, curve.fit_y, form=form, resamples=0)
    seconds = time.process_time() - began
    assert isinstance(plain, Curve)
    misses = np.log(plain.predict(curve.test_x)) - np.log(curve.test_y)
    num_held = 0
    if resamples:
        fitted = fit_curve(curve.fit_x, curve.fit_y, form=form, level=level, resamples=resamples)
        assert isinstance(fitted, Curve)
        low, high = fitted.prediction_band(curve.test_x) or (np.inf, -np.inf)
        num_held = int(np.sum((low <= curve.test_y) & (curve.test_y <= high)))
    return Score(
        rmse_log=float(np.sqrt(np.mean(misses**2))),
        seconds=seconds,
        chosen=plain.form,
        num_held=num_held,
        num_test=len(curve.test_x),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print the scores of every curve and form, and what they come to."""
    parser = argparse.ArgumentParser(description="Score the fits on public learning curves.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--forms", nargs="+", choices=SCORED, default=SCORED)
    parser.add_argument("--resamples", type=int, default=1000, help="0 leaves the bands out (default: 1000)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    curves = read_curves(given.folder)
    scores = {
        curve.name: {form: score(curve, form, resamples=given.resamples) for form in given.forms} for curve in curves
    }
    if given.json:
        found = [
            {"curve": name, "scores": {form: vars(one) for form, one in own.items()}} for name, own in scores.items()
        ]
        print(json.dumps(found, indent=1))
        return
    for name, own in scores.items():
        cells = "  ".join(f"{form} {one.rmse_log:.4f}" for form, one in own.items())
        print(f"{' '.join(name)}: {cells}" + (f" ({own['auto'].chosen})" if "auto" in own else ""))
    for form in given.forms:
        print(_line(form, curves, [own[form] for own in scores.values()], bands=given.resamples > 0))


def _line(form: str, curves: Sequence[PublicCurve], scores: Sequence[Score], *, bands: bool) -> str:
    """Return what a form's scores come to."""
    parts = [f"median {statistics.median(one.rmse_log for one in scores):.4f}"]
    if form in PUBLISHED:
        sound = [curve.published[form] for curve in curves if form == "m1" or curve.name not in MISPRINTED]
        parts.append(f"published {statistics.median(sound):.4f}")
    if bands:
        share = sum(one.num_held for one in scores) / sum(one.num_test for one in scores)
        parts.append(f"{100 * share:.0f} % of the test points in the 90 % prediction band")
    return f"{form}: {', '.join(parts)}, slowest {max(one.seconds for one in scores):.2f} s"


if __name__ == "__main__":
    main()
