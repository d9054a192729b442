"""Laws with known parameters and noise, to fit back."""

from types import SimpleNamespace

import numpy as np
import pytest

LAWS = {
    "m1": lambda x: 1.5 * x**-0.25,
    "m2": lambda x: 0.15 + 2.5 * x**-0.45,
    "m3": lambda x: 2.0 * (1 / x + 1 / 1500) ** 0.35,
    "exp": lambda x: 0.3 + 0.5 * np.exp(-x / 400),
}
TRUTH = {
    "m1": {"b": 1.5, "c": -0.25},
    "m2": {"b": 2.5, "c": -0.45, "e": 0.15},
    "m3": {"b": 2.0, "c": 0.35, "g": 1 / 1500},
    "exp": {"b": 0.5, "tau": 400.0, "e": 0.3},
}
SIZES = (64, 128, 256, 512, 1024, 2048)


def trials(law, sizes=SIZES, seeds=1, noise=0.0, run=0):
    """Return x and y of single trials of a law, and the generator after them."""
    rng = np.random.default_rng(run)
    x = np.repeat(np.array(sizes, dtype=float), seeds)
    return x, LAWS[law](x) * np.exp(rng.normal(0, noise, len(x))), rng


@pytest.fixture(scope="session")
def simulated() -> SimpleNamespace:
    """Return the laws, their parameters, and `trials` of them."""
    return SimpleNamespace(laws=LAWS, truth=TRUTH, sizes=SIZES, trials=trials)
