"""Memory laws: never a negative part, the paper's own table, and what cannot be told apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from harness.analysis import LinearMemory, Refused, fit_linear_memory
from harness.analysis.fits import MemoryLaw, fit_memory
from harness.analysis.paper import FRAMES, PUBLISHED, RESOLUTION
from harness.units import GIB


def test_memory_per_frame_is_the_papers():
    """Table 5, S at 160 x 160: linear in frames within 4 %, 1.69 to 1.76 MB a frame."""
    law = fit_linear_memory((768, 1536, 3072), (2.5e9, 3.8e9, 6.5e9), x_name="frames")
    assert isinstance(law, LinearMemory)
    assert law.bytes_per_unit == pytest.approx(1.74e6, rel=0.02)
    assert law.max_relative_error < 0.04
    assert "x frames" in law.in_words()


def test_all_of_table_5_is_one_law_of_pixels():
    """Frames and resolution cost alike: a base and a price of a pixel foretell every setting left out within 2 %."""
    rows = PUBLISHED["scale_frames"]
    pixels = [row.at[FRAMES] * row.at[RESOLUTION] ** 2 / 1e6 for row in rows]
    law = fit_memory({"million pixels": pixels}, [row.memory_gib * GIB for row in rows])
    assert isinstance(law, MemoryLaw)
    assert law.max_relative_error < 0.01
    assert law.left_out_error < 0.02


def test_a_base_parameters_and_pixels_are_told_apart():
    parameters = np.repeat([22e6, 86e6, 304e6], 4)
    pixels = np.tile([20e6, 40e6, 80e6, 160e6], 3)
    peaks = 300e6 + 4 * parameters + 90 * pixels
    law = fit_memory({"parameters": parameters, "frames x pixels": pixels}, peaks)
    assert law.base_bytes == pytest.approx(300e6, rel=1e-6)
    assert law.prices == pytest.approx({"parameters": 4, "frames x pixels": 90}, rel=1e-6)
    np.testing.assert_allclose(law.bytes_at({"parameters": parameters, "frames x pixels": pixels}), peaks)
    with pytest.raises(ValueError, match="the terms are pixels, expected parameters, frames x pixels"):
        law.bytes_at({"pixels": 1})


def test_the_law_is_the_bounded_least_squares_of_relative_deviations():
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 100, 20)
    peaks = (5 + 0.2 * x) * np.exp(rng.normal(0, 0.1, 20)) * 1e6
    law = fit_memory({"x": x}, peaks)
    design = np.column_stack([np.ones(20), x]) / peaks[:, None]
    expected = lsq_linear(design * 1e6, np.ones(20), (0, np.inf)).x * 1e6
    assert (law.base_bytes, law.prices["x"]) == pytest.approx(expected, rel=1e-4)


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(1, 10**12)), min_size=2, max_size=8))
@settings(max_examples=50, deadline=None)
def test_no_part_is_ever_negative(points):
    law = fit_linear_memory(*zip(*points, strict=True))
    if len({x for x, _ in points}) < 2:
        assert isinstance(law, Refused)
    else:
        assert isinstance(law, LinearMemory)
        assert law.base_bytes >= 0
        assert law.bytes_per_unit >= 0


def test_what_cannot_be_told_apart_is_refused():
    assert "1 distinct value of x, expected at least 2" in fit_memory({"x": (3, 3)}, (1, 2)).reason
    both = fit_memory({"frames": (1, 2, 3, 4), "tokens": (8, 16, 24, 32)}, (1, 2, 3, 4))
    assert "frames, tokens do not vary apart" in both.reason


@pytest.mark.parametrize(
    ("terms", "peaks", "complaint"),
    [
        ({}, (1, 2), "there are no terms"),
        ({"x": (1, 2, 3)}, (1, 2), "3 values of x and 2 peaks"),
        ({"x": (1, -2)}, (1, 2), "x is -2 somewhere"),
        ({"x": (1, 2)}, (0, 2), "peak_bytes is 0 somewhere"),
    ],
)
def test_mistakes_are_named(terms, peaks, complaint):
    with pytest.raises(ValueError, match=complaint):
        fit_memory(terms, peaks)
