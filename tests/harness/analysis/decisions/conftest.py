"""A study with a known truth: the paper's Table 5, run over seeds with noise."""

import numpy as np
import pytest

from harness.analysis import summarise
from harness.analysis.paper import FRAMES, PUBLISHED, RESOLUTION
from harness.units import GIB


def table_5(seeds=3, noise=0.003, run=0):
    """Return rows of the trials table around the paper's Table 5."""
    rng = np.random.default_rng(run)
    return [
        {
            **row.at,
            "seed": seed,
            "state": "finished",
            "map_avg": row.map_avg / 100 + rng.normal(0, noise),
            "peak_bytes": round(row.memory_gib * GIB),
            "total_seconds": row.at[FRAMES] * row.at[RESOLUTION] ** 2 / 1e5,
        }
        for row in PUBLISHED["scale_frames"]
        for seed in range(seeds)
    ]


@pytest.fixture(scope="session")
def simulate():
    """Return a function from seeds, noise and run to (rows, settings)."""

    def simulate(**how):
        rows = table_5(**how)
        return rows, summarise(rows, [FRAMES, RESOLUTION])

    return simulate
