"""Score the fits on public learning curves with published extrapolation errors (scaling-facts A1).

    python -m harness.analysis.bench FOLDER [--resamples N] [--json]

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

SCORED = ("m1", "m2", "m3", "m4", "exp", "auto")
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
            (row["Domain"], row["Task"], row["Model"]): {form: float(row[form.upper()]) for form in SCORED[:4]}
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
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    curves = read_curves(given.folder)
    scores = {curve.name: {form: score(curve, form, resamples=given.resamples) for form in SCORED} for curve in curves}
    if given.json:
        document = [
            {"curve": list(name), "scores": {form: vars(one) for form, one in forms.items()}}
            for name, forms in scores.items()
        ]
        print(json.dumps(document, indent=1))
        return
    for curve in curves:
        own = scores[curve.name]
        cells = [f"{form} {own[form].rmse_log:.4f}" for form in SCORED]
        print(f"{' '.join(curve.name)}: {'  '.join(cells)} ({own['auto'].chosen}, {own['auto'].seconds:.2f} s)")
    for form in SCORED:
        column = [scores[curve.name][form] for curve in curves]
        held = sum(one.num_held for one in column) / sum(one.num_test for one in column)
        line = f"{form}: median {statistics.median(one.rmse_log for one in column):.4f}"
        if form in SCORED[:4]:
            sound = [curve for curve in curves if form == "m1" or curve.name not in MISPRINTED]
            line += f", published {statistics.median(curve.published[form] for curve in sound):.4f}"
        slowest = max(one.seconds for one in column)
        print(f"{line}; {100 * held:.0f} % of the test points in the 90 % prediction band; slowest {slowest:.2f} s")


if __name__ == "__main__":
    main()
