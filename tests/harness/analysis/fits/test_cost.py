"""Laws of costs: prices come back, what cannot be told is left out, and a law that misses is refused."""

import numpy as np
import pytest

from harness.analysis.fits import Refused
from harness.analysis.fits.cost import CostLaw, fit_cost

TERMS = ((1.0, 1.0), (0.0, 1.0), (1.0, 2.0))
PIXELS, WEIGHTS = (sizes.ravel() for sizes in np.meshgrid((1e4, 3e4, 9e4), (1e5, 5e5, 2e6)))
SIZES = {"pixels": PIXELS, "parameters": WEIGHTS}


def test_prices_come_back_and_foretell_what_was_not_run():
    law = fit_cost("memory", SIZES, 1e7 + 4 * WEIGHTS + 1e-3 * PIXELS * WEIGHTS, TERMS)
    assert isinstance(law, CostLaw)
    assert law.base == pytest.approx(1e7)
    assert law.prices == pytest.approx({(1.0, 1.0): 1e-3, (0.0, 1.0): 4.0, (1.0, 2.0): 0.0}, abs=1e-9)
    assert law.at(2e5, 1e6) == pytest.approx(1e7 + 4e6 + 2e8)
    assert law.left_out_error < 1e-6
    assert "1e+07 + 0.001 x pixels x parameters + 4 x parameters (" in law.in_words()


def test_products_that_do_not_vary_apart_are_left_out():
    sizes = {"pixels": np.geomspace(1e4, 9e4, 6), "parameters": np.full(6, 1e5)}
    law = fit_cost("memory", sizes, 5.0 + sizes["pixels"], TERMS)
    assert isinstance(law, CostLaw)
    assert set(law.prices) == {(1.0, 1.0)}


def test_a_law_that_misses_settings_is_refused():
    refused = fit_cost("memory", SIZES, 1e3 * PIXELS**3 / WEIGHTS**2, TERMS)
    assert isinstance(refused, Refused)
    assert "no law of memory: it would miss a setting that was left out by" in refused.reason
    few = fit_cost("memory", {"pixels": PIXELS[:2], "parameters": WEIGHTS[:2]}, [1.0, 2.0], TERMS)
    assert isinstance(few, Refused)
    assert "too few" in few.reason
