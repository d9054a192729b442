"""Scaling curves: forms, their fit, intervals and what may be said of them."""

from harness.analysis.fits.curve import Curve, HoldOut
from harness.analysis.fits.error_law import LinearMemory, PowerLaw, fit_error, fit_linear_memory, fit_lines
from harness.analysis.fits.fitting import fit_curve
from harness.analysis.fits.forms import FORM_NAMES
from harness.analysis.fits.refusal import Refused

__all__ = [
    "FORM_NAMES",
    "Curve",
    "HoldOut",
    "LinearMemory",
    "PowerLaw",
    "Refused",
    "fit_curve",
    "fit_error",
    "fit_linear_memory",
    "fit_lines",
]
