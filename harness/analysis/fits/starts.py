"""Where the descents of each form begin: floors, breaks and decays on a grid, the rest of it by a straight line."""

from collections.abc import Callable

import numpy as np

SHARES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97, 0.995)
"""Of the smallest y, that a floor starts from."""


def weighted_lines(z: np.ndarray, log_y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return intercept and slope of the weighted least-squares line of each row; (fits, 2)."""
    total = weights.sum(axis=1)
    mean_z, mean_y = (weights @ z) / total, np.sum(weights * log_y, axis=1) / total
    centred = z - mean_z[:, None]
    slope = np.sum(weights * centred * log_y, axis=1) / np.maximum(np.sum(weights * centred**2, axis=1), 1e-300)
    return np.stack([mean_y - slope * mean_z, slope], axis=1)


def m1_starts(z: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """Return the least-squares line, which is m1's solution."""
    return weighted_lines(z, log_y[None], np.ones((1, len(z))))


def m2_starts(z: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """Return starts of m2, a row each: floors below the smallest y."""
    found = []
    for share in SHARES:
        log_floor = np.log(share) + log_y.min()
        found.append((*_line_starts(z, np.log(np.exp(log_y) - np.exp(log_floor))), log_floor))
    return np.array(found)


def m3_starts(z: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """Return starts of m3: where the curve levels off, from beyond the largest x inwards."""
    found = []
    for gamma in (-z.max() + shift for shift in (-6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)):
        log_h = np.logaddexp(-z, gamma)
        beta, v = _line_starts(-log_h, log_y)
        found.append((beta, v, gamma))
    return np.array(found)


def exponential_starts(z: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """Return starts of the exponential: decays and floors."""
    y, found = np.exp(log_y), []
    for decay in (0.3, 1.0, 3.0, 10.0, 30.0):
        v = np.log(decay) - z.max()
        for share in (0.05, 0.5, 0.95):
            beta = np.mean(np.log(y - share * y.min()) + np.exp(v + z))
            found.append((np.clip(beta, -20, 20), v, np.log(share * y.min())))
    return np.array(found)


def m4_starts(ceiling: float | None) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what gives starts of m4: floors, powers and, without a ceiling, levels of guessing."""

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


def bnsl_starts(z: np.ndarray, log_y: np.ndarray) -> np.ndarray:
    """Return starts of one break: floors, places and sharpnesses."""
    y, found = np.exp(log_y), []
    for share in (0.02, 0.6, 0.95):
        left = np.log(y - share * y.min())
        for delta in np.quantile(z, (0.2, 0.4, 0.6, 0.8)):
            for f in (0.1, 0.5):
                columns = np.stack([np.ones_like(z), -z, -f * np.logaddexp(0.0, (z - delta) / f)], axis=1)
                beta, c0, c1 = np.linalg.lstsq(columns, left, rcond=None)[0]
                found.append((beta, c0, np.log(share * y.min()), delta, np.log(f), c1))
    return np.array(found)


def _line_starts(z: np.ndarray, log_left: np.ndarray) -> tuple[float, float]:
    """Return intercept and ln of the fall of the least-squares line, with a least fall."""
    centred = z - z.mean()
    slope = float(centred @ log_left / (centred @ centred))
    return float(log_left.mean() - slope * z.mean()), float(np.log(max(-slope, 1e-3)))
