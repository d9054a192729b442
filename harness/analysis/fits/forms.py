"""The laws a curve may follow (scaling-facts A1, A2): ln y over ln x, with derivatives, for many fits at once.

    m1    y = b x^c
    m2    y = e + b x^c
    m3    y = b (1/x + g)^c, here with c > 0
    m4    (y - e) / (e0 - y)^a = b x^c
    exp   y = e + b exp(-x / tau)                a score that saturates exponentially
    bnsl  y = e + b x^(-c0) (1 + (x/d)^(1/f))^(-c1 f)          one smooth break at d

Every form is written in parameters without bounds of their own (logarithms, logits), with x divided by its geometric
mean, so that descents are well scaled; `natural` gives the parameters of the formulas above.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Values = tuple[np.ndarray, np.ndarray]
Bounds = Callable[[np.ndarray, np.ndarray], Sequence[tuple[float, float]]]
NEWTON_ROUNDS = 60
SHARES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97, 0.995)
"""Of the smallest y, that a floor starts from."""


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


def _m1(theta: np.ndarray, z: np.ndarray) -> Values:
    beta, c = theta.T[:, :, None]
    values = beta + c * z
    return values, np.stack(np.broadcast_arrays(1.0 + 0 * values, z + 0 * values), axis=-1)


def _m2(theta: np.ndarray, z: np.ndarray) -> Values:
    beta, v, u = theta.T[:, :, None]
    return _floored(u, beta - np.exp(v) * z, (1.0 + 0 * z, -np.exp(v) * z))


def _exp(theta: np.ndarray, z: np.ndarray) -> Values:
    beta, v, u = theta.T[:, :, None]
    return _floored(u, beta - np.exp(v + z), (1.0 + 0 * z, -np.exp(v + z)))


def _bnsl(theta: np.ndarray, z: np.ndarray) -> Values:
    beta, c0, u, delta, log_f, c1 = theta.T[:, :, None]
    f = np.exp(log_f)
    q = (z - delta) / f
    bent, share = np.logaddexp(0.0, q), _sigmoid(q)
    log_t = beta - c0 * z - c1 * f * bent
    values, partial = _floored(u, log_t, (1.0 + 0 * z, -z))
    reducible = partial[..., :1]
    rest = np.stack(np.broadcast_arrays(c1 * share, -c1 * f * (bent - share * q), -f * bent), axis=-1)
    return values, np.concatenate([partial, reducible * rest], axis=-1)


def _floored(u: np.ndarray, log_t: np.ndarray, derivatives: tuple[np.ndarray, ...]) -> Values:
    """Return ln(exp(u) + exp(log_t)), its derivatives by what log_t depends on, then by u."""
    values = np.logaddexp(u, log_t)
    share = np.exp(log_t - values)
    columns = [share * derivative for derivative in derivatives]
    return values, np.stack(np.broadcast_arrays(*columns, 1.0 - share), axis=-1)


def _m3(theta: np.ndarray, z: np.ndarray) -> Values:
    beta, v, gamma = theta.T[:, :, None]
    c, log_h = np.exp(v), np.logaddexp(-z, gamma)
    values = beta + c * log_h
    return values, np.stack(np.broadcast_arrays(1.0 + 0 * values, c * log_h, c * np.exp(gamma - log_h)), axis=-1)


def _m4(ceiling: float | None) -> Callable[[np.ndarray, np.ndarray], Values]:
    def curve(theta: np.ndarray, z: np.ndarray) -> Values:
        beta, v, u, s = theta.T[:4, :, None]
        top = np.exp(theta[:, 4, None]) if ceiling is None else ceiling
        a, floor_share = np.exp(s), _sigmoid(u)
        span, right = top * _sigmoid(-u), beta - np.exp(v) * z
        q = _solve(a, right - (1 - a) * np.log(span))
        near, off = _sigmoid(q), _sigmoid(-q)
        y = top * floor_share + span * near
        by_right, by_span = span * near * off / (off + a * near), a * near / (off + a * near)
        by_a = by_right * (np.log(span) - np.logaddexp(0.0, q))
        by_floor = 1.0 - by_span
        columns = [by_right, -by_right * np.exp(v) * z, by_floor * top * floor_share * _sigmoid(-u), by_a * a]
        if ceiling is None:
            columns.append((by_floor * floor_share + by_span) * top)
        return np.log(y), np.stack(np.broadcast_arrays(*columns), axis=-1) / y[..., None]

    return curve


def _solve(a: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return q with ln sigmoid(q) - a ln sigmoid(-q) = right.

    The slope of the left side runs monotonically from 1 to a, so Newton's steps cannot overshoot after the first.
    """
    q = np.where(right < (1 - a) * -np.log(2.0), right, right / a)
    for _ in range(NEWTON_ROUNDS):
        off = a * np.logaddexp(0.0, q) - np.logaddexp(0.0, -q) - right
        step = off / (_sigmoid(-q) + a * _sigmoid(q))
        q = q - step
        if np.max(np.abs(step) / (1 + np.abs(q))) < 1e-13:
            break
    return q


def _sigmoid(q: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -q))


def _line_starts(z: np.ndarray, log_left: np.ndarray) -> tuple[float, float]:
    """Return intercept and ln of the fall of the least-squares line, with a least fall."""
    centred = z - z.mean()
    slope = float(centred @ log_left / (centred @ centred))
    return float(log_left.mean() - slope * z.mean()), float(np.log(max(-slope, 1e-3)))


def _m2_starts(z: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    found = []
    for share in SHARES:
        log_floor = np.log(share) + log_y.min()
        found.append((*_line_starts(z, np.log(np.exp(log_y) - np.exp(log_floor))), log_floor))
    return np.array(found)


def _m3_starts(z: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    found = []
    for gamma in (-z.max() + shift for shift in (-6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)):
        log_h = np.logaddexp(-z, gamma)
        beta, v = _line_starts(-log_h, log_y)
        found.append((beta, v, gamma))
    return np.array(found)


def _exp_starts(z: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    y, found = np.exp(log_y), []
    for decay in (0.3, 1.0, 3.0, 10.0, 30.0):
        v = np.log(decay) - z.max()
        for share in (0.05, 0.5, 0.95):
            beta = np.mean(np.log(y - share * y.min()) + np.exp(v + z))
            found.append((np.clip(beta, -20, 20), v, np.log(share * y.min())))
    return np.array(found)


def _m4_starts(ceiling: float | None) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def starts(z: np.ndarray, log_y: np.ndarray) -> np.ndarray:
        y, found = np.exp(log_y), []
        for top in (ceiling,) if ceiling else (1.05 * y.max(), 1.5 * y.max()):
            for share in (0.02, 0.5, 0.9, 0.99):
                floor = share * y.min()
                for a in (0.1, 0.5, 1.5):
                    gap = np.maximum(top - y, 0.02 * (top - floor))
                    beta, v = _line_starts(z, np.log(y - floor) - a * np.log(gap))
                    inner = (beta, v, np.log(floor / (top - floor)), np.log(a))
                    found.append(inner if ceiling else (*inner, np.log(top)))
        return np.array(found)

    return starts


def _bnsl_starts(z: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    y, found = np.exp(log_y), []
    for share in (0.02, 0.6, 0.95):
        left = np.log(y - share * y.min())
        for delta in np.quantile(z, (0.2, 0.4, 0.6, 0.8)):
            for f in (0.1, 0.5):
                columns = np.stack([np.ones_like(z), -z, -f * np.logaddexp(0.0, (z - delta) / f)], axis=1)
                beta, c0, c1 = np.linalg.lstsq(columns, left, rcond=None)[0]
                found.append((beta, c0, np.log(share * y.min()), delta, np.log(f), c1))
    return np.array(found)


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
            "e": top * _sigmoid(theta[:, 2]),
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


WIDE, FALL = (-60.0, 60.0), (-7.0, 3.0)
"""Of what has no natural limit; of ln of an exponent, between curves that are flat and curves that drop like a wall."""
NOTHING = 9.0
"""A floor that is exp(-9) of the smallest y changes no y by more than what is measured: it stands for 0."""
FORM_NAMES = ("m1", "m2", "m3", "m4", "exp", "bnsl")


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
                curve=_m1,
                starts=lambda z, log_y: np.polyfit(z, log_y, 1)[None, ::-1],
                natural=_m1_natural,
                profiled={"c": (1, -np.inf)},
            )
        case "m2":
            return Form(
                name=name,
                formula="y = e + b x^c",
                min_distinct=5,
                num_parameters=3,
                bounds=lambda z, log_y: (WIDE, FALL, _floor_bounds(log_y)),
                curve=_m2,
                starts=_m2_starts,
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
                curve=_m3,
                starts=_m3_starts,
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
                curve=_m4(ceiling),
                starts=_m4_starts(ceiling),
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
                curve=_exp,
                starts=_exp_starts,
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
                curve=_bnsl,
                starts=_bnsl_starts,
                natural=_bnsl_natural,
                profiled={},
            )
        case _:
            raise ValueError(f"the form is {name!r}, expected one of {', '.join(FORM_NAMES)}")
