"""Scaling curves: forms, their fit, intervals and what may be said of them."""

from harness.analysis.fits.error_law import LinearMemory, PowerLaw, Refused, fit_error, fit_linear_memory, fit_lines

__all__ = ["LinearMemory", "PowerLaw", "Refused", "fit_error", "fit_linear_memory", "fit_lines"]
