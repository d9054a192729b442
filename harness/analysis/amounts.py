"""Amounts in one unit for a whole column or axis: bytes, parameters, seconds."""

from collections.abc import Iterable
from typing import NamedTuple

from harness.units import GIB

MIB = 2**20


class Unit(NamedTuple):
    """A unit and what one of it is worth."""

    name: str
    factor: float

    def of(self, amount: float | None) -> float | None:
        """Return the amount in this unit."""
        return None if amount is None else amount / self.factor

    def text(self, amount: float | None, digits: int = 1) -> str:
        """Return the amount as text without the unit; empty for None."""
        return "" if amount is None else f"{amount / self.factor:,.{digits}f}"


def memory_unit(amounts: Iterable[float | None]) -> Unit:
    """Return GiB when the largest amount has one, else MiB: numbers that are compared stand in one unit."""
    largest = max((amount for amount in amounts if amount is not None), default=0)
    return Unit("GiB", GIB) if largest >= GIB else Unit("MiB", MIB)


def time_unit(seconds: Iterable[float | None]) -> Unit:
    """Return hours, minutes or seconds, whichever gives the largest amount a whole part."""
    largest = max((amount for amount in seconds if amount is not None), default=0)
    for unit in (Unit("h", 3600.0), Unit("min", 60.0)):
        if largest >= 2 * unit.factor:
            return unit
    return Unit("s", 1.0)


def count_text(number: float) -> str:
    """Return a large count as it is said: 1.21 M, 304 M, 1.01 G, 10.8 T."""
    for unit, factor in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return f"{number:g}"
