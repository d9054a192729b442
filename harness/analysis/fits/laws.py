"""The laws a curve may follow: ln y over z = ln(x / centre), with derivatives, for many fits at once.

Every law is written in inner parameters that have no bounds of their own (logarithms, logits), so that descents are
well scaled. Each function takes them as an array (fits, parameters) and z as (fits or 1, points), and returns ln y as
(fits, points) and its Jacobian as (fits, points, parameters). Letters are those of `harness.analysis.fits.forms`; beta
is ln b for the scaled x.
"""

from collections.abc import Callable

import numpy as np

Values = tuple[np.ndarray, np.ndarray]
NEWTON_ROUNDS = 60


def m1(theta: np.ndarray, z: np.ndarray) -> Values:
    """Return ln y of b x^c; inner: beta, c."""
    beta, c = theta.T[:, :, None]
    values = beta + c * z
    return values, np.stack(np.broadcast_arrays(1.0 + 0 * values, z + 0 * values), axis=-1)


def m2(theta: np.ndarray, z: np.ndarray) -> Values:
    """Return ln y of e + b x^c; inner: beta, ln(-c), ln e."""
    beta, v, u = theta.T[:, :, None]
    return _floored(u, beta - np.exp(v) * z, (1.0 + 0 * z, -np.exp(v) * z))


def exponential(theta: np.ndarray, z: np.ndarray) -> Values:
    """Return ln y of e + b exp(-x / tau); inner: ln b, ln(1 / tau), ln e."""
    beta, v, u = theta.T[:, :, None]
    return _floored(u, beta - np.exp(v + z), (1.0 + 0 * z, -np.exp(v + z)))


def bnsl(theta: np.ndarray, z: np.ndarray) -> Values:
    """Return ln y of one smooth break; inner: beta, c0, ln e, ln d, ln f, c1."""
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


def m3(theta: np.ndarray, z: np.ndarray) -> Values:
    """Return ln y of b (1/x + g)^c; inner: beta, ln c, ln g."""
    beta, v, gamma = theta.T[:, :, None]
    c, log_h = np.exp(v), np.logaddexp(-z, gamma)
    values = beta + c * log_h
    return values, np.stack(np.broadcast_arrays(1.0 + 0 * values, c * log_h, c * np.exp(gamma - log_h)), axis=-1)


def m4(ceiling: float | None) -> Callable[[np.ndarray, np.ndarray], Values]:
    """Return (y - e) / (e0 - y)^a = b x^c; inner: beta, ln(-c), logit of e / e0, ln a, and ln e0 without a ceiling.

    y is implicit: with w = y - e the left side rises in w and there is one root, found in the logit of w / (e0 - e).
    """

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
