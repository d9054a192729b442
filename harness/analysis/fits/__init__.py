"""Scaling curves: forms, their fit, intervals and what may be said of them."""

from harness.analysis.fits.curve import Curve, HoldOut
from harness.analysis.fits.error_law import PowerLaw, fit_error, fit_lines
from harness.analysis.fits.fitting import fit_curve
from harness.analysis.fits.forms import FORM_NAMES
from harness.analysis.fits.memory import LinearMemory, MemoryLaw, fit_linear_memory, fit_memory
from harness.analysis.fits.refusal import Refused
from harness.analysis.fits.several_sizes import fit_sizes, fit_surface
from harness.analysis.fits.surface import Surface

__all__ = [
    "FORM_NAMES",
    "Curve",
    "HoldOut",
    "LinearMemory",
    "MemoryLaw",
    "PowerLaw",
    "Refused",
    "Surface",
    "fit_curve",
    "fit_error",
    "fit_linear_memory",
    "fit_lines",
    "fit_memory",
    "fit_sizes",
    "fit_surface",
]
