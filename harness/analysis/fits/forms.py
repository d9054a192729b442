"""The forms of a curve (scaling-facts A1, A2), each with all that fitting it takes.

    m1    y = b x^c
    m2    y = e + b x^c
    m3    y = b (1/x + g)^c, here with c > 0
    m4    (y - e) / (e0 - y)^a = b x^c
    exp   y = e + b exp(-x / tau)                a score that saturates exponentially
    bnsl  y = e + b x^(-c0) (1 + (x/d)^(1/f))^(-c1 f)          one smooth break at d

They are fitted in inner parameters (`fits.laws`), with x divided by its geometric mean; `natural` gives the parameters
of the formulas above.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.fits import laws, starts
from harness.analysis.fits.laws import Values

Bounds = Callable[[np.ndarray, np.ndarray], Sequence[tuple[float, float]]]
WIDE, FALL = (-60.0, 60.0), (-7.0, 3.0)
"""Of what has no natural limit; of ln of an exponent, between curves that are flat and curves that drop like a wall."""
NOTHING = 9.0
"""A floor that is exp(-9) of the smallest y changes no y by more than what is measured: it stands for 0."""
FORM_NAMES = ("m1", "m2", "m3", "m4", "exp", "bnsl")


@dataclass(frozen=True, kw_only=True)
class Form:
    """A law with all that fitting it takes."""

    name: str
    formula: str
    min_distinct: int
    """Distinct x below which it says nothing (scaling-facts A6)."""
    num_parameters: int
    """How many inner parameters are fitted."""
    bounds: Bounds
    """z and ln y of a data set -> lowest and highest value of each inner parameter."""
    curve: Callable[[np.ndarray, np.ndarray], Values]
    """Inner parameters (fits, p) and z = ln(x / centre) (fits or 1, points) -> ln y and its Jacobian."""
    starts: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """z and ln y of one data set -> starts (many, p)."""
    natural: Callable[[np.ndarray, float], Mapping[str, np.ndarray]]
    """Inner parameters (fits, p) and ln(centre) -> parameters of the formula."""
    profiled: Mapping[str, tuple[int, float]]
    """Parameters of the formula that follow from a single inner one: its place, and their value at its lower bound."""
    exact: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    """z, ln y (fits, points) and weights (fits, points) -> the least-squares solution (fits, p), where there is one."""


def form_named(name: str, *, ceiling: float | None = None) -> Form:
    """Return a form.

    Args:
        name: One of `FORM_NAMES`.
        ceiling: e0 of m4, the y of guessing; fitted when None.

    Raises:
        ValueError: there is no such form.
    """
    match name:
        case "m1":
            return Form(
                name=name,
                formula="y = b x^c",
                min_distinct=3,
                num_parameters=2,
                bounds=lambda z, log_y: (WIDE, WIDE),
                curve=laws.m1,
                starts=starts.m1_starts,
                natural=_m1_natural,
                profiled={"c": (1, -np.inf)},
                exact=starts.weighted_lines,
            )
        case "m2":
            return Form(
                name=name,
                formula="y = e + b x^c",
                min_distinct=5,
                num_parameters=3,
                bounds=lambda z, log_y: (WIDE, FALL, _floor_bounds(log_y)),
                curve=laws.m2,
                starts=starts.m2_starts,
                natural=_m2_natural,
                profiled={"c": (1, 0.0), "e": (2, 0.0)},
            )
        case "m3":
            return Form(
                name=name,
                formula="y = b (1/x + g)^c",
                min_distinct=5,
                num_parameters=3,
                bounds=lambda z, log_y: (WIDE, FALL, (-z.max() - NOTHING, -z.min() + NOTHING)),
                curve=laws.m3,
                starts=starts.m3_starts,
                natural=_m3_natural,
                profiled={"c": (1, 0.0), "g": (2, 0.0)},
            )
        case "m4":
            num = 5 if ceiling is None else 4
            return Form(
                name=name,
                formula="(y - e) / (e0 - y)^a = b x^c",
                min_distinct=6,
                num_parameters=num,
                bounds=_m4_bounds(num),
                curve=laws.m4(ceiling),
                starts=starts.m4_starts(ceiling),
                natural=_m4_natural(ceiling),
                profiled={"c": (1, 0.0), "a": (3, 0.0)} | ({} if ceiling is None else {"e": (2, 0.0)}),
            )
        case "exp":
            return Form(
                name=name,
                formula="y = e + b exp(-x / tau)",
                min_distinct=5,
                num_parameters=3,
                bounds=lambda z, log_y: (WIDE, (-z.max() - 7.0, -z.min() + 4.0), _floor_bounds(log_y)),
                curve=laws.exponential,
                starts=starts.exponential_starts,
                natural=_exp_natural,
                profiled={"tau": (1, np.inf), "e": (2, 0.0)},
            )
        case "bnsl":
            return Form(
                name=name,
                formula="y = e + b x^(-c0) (1 + (x/d)^(1/f))^(-c1 f)",
                min_distinct=15,
                num_parameters=6,
                bounds=lambda z, log_y: (WIDE, WIDE, _floor_bounds(log_y), _break_bounds(z), (-6.0, 3.0), WIDE),
                curve=laws.bnsl,
                starts=starts.bnsl_starts,
                natural=_bnsl_natural,
                profiled={},
            )
        case _:
            raise ValueError(f"the form is {name!r}, expected one of {', '.join(FORM_NAMES)}")


def _floor_bounds(log_y: np.ndarray) -> tuple[float, float]:
    return float(log_y.min()) - NOTHING, float(log_y.max())


def _break_bounds(z: np.ndarray) -> tuple[float, float]:
    """A break that fewer than three x lie beyond cannot be told from chance, so it is not looked for."""
    distinct = np.unique(z)
    return float(distinct[0]), float(distinct[-min(4, len(distinct))])


def _m4_bounds(num: int) -> Bounds:
    def bounds(z: np.ndarray, log_y: np.ndarray) -> Sequence[tuple[float, float]]:
        top = float(log_y.max())
        return (WIDE, FALL, (-12.0, 12.0), (-8.0, 3.0), (top - 0.2, top + 6.0))[:num]

    return bounds


def _m1_natural(theta: np.ndarray, centre: float) -> dict[str, np.ndarray]:
    return {"b": np.exp(theta[:, 0] - theta[:, 1] * centre), "c": theta[:, 1]}


def _m2_natural(theta: np.ndarray, centre: float) -> dict[str, np.ndarray]:
    c = -np.exp(theta[:, 1])
    return {"b": np.exp(theta[:, 0] - c * centre), "c": c, "e": np.exp(theta[:, 2])}


def _m3_natural(theta: np.ndarray, centre: float) -> dict[str, np.ndarray]:
    c = np.exp(theta[:, 1])
    return {"b": np.exp(theta[:, 0] + c * centre), "c": c, "g": np.exp(theta[:, 2] - centre)}


def _exp_natural(theta: np.ndarray, centre: float) -> dict[str, np.ndarray]:
    return {"b": np.exp(theta[:, 0]), "tau": np.exp(centre - theta[:, 1]), "e": np.exp(theta[:, 2])}


def _m4_natural(ceiling: float | None) -> Callable[[np.ndarray, float], dict[str, np.ndarray]]:
    def natural(theta: np.ndarray, centre: float) -> dict[str, np.ndarray]:
        top = np.exp(theta[:, 4]) if ceiling is None else np.full(len(theta), ceiling)
        c = -np.exp(theta[:, 1])
        return {
            "b": np.exp(theta[:, 0] - c * centre),
            "c": c,
            "e": top * np.exp(-np.logaddexp(0.0, -theta[:, 2])),
            "a": np.exp(theta[:, 3]),
            "e0": top,
        }

    return natural


def _bnsl_natural(theta: np.ndarray, centre: float) -> dict[str, np.ndarray]:
    beta, c0, u, delta, log_f, c1 = theta.T
    return {
        "e": np.exp(u),
        "b": np.exp(beta + c0 * centre),
        "c0": c0,
        "d": np.exp(delta + centre),
        "f": np.exp(log_f),
        "c1": c1,
    }
