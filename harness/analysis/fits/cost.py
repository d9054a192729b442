"""What a trial costs as a law of its sizes: a base and prices of products of sizes, none below 0.

    operations, or peak memory = c0 + c1 * parameters + c2 * frames * pixels + c3 * frames * pixels * parameters + ...

A sum of products with positive prices rises with every size, and so, in logarithms, does an error law's opposite:
spending a budget on such costs is a geometric program, which has one optimum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.fits.nonnegative import left_out, solve
from harness.analysis.fits.points import Numbers
from harness.analysis.fits.refusal import Refused
from harness.analysis.fits.surface import checked_sizes

Term = tuple[float, ...]
"""Power of each size in a product."""
MOST_LEFT_OUT = 0.2
"""Largest relative error of a setting foretold from all others; a law that misses by more foretells no budget."""


@dataclass(frozen=True, kw_only=True)
class CostLaw:
    """A base and prices of products of sizes."""

    name: str
    """What it costs, such as `peak memory`."""
    x_names: tuple[str, ...]
    base: float
    prices: Mapping[Term, float]
    num_points: int
    max_relative_error: float
    left_out_error: float
    """The largest when every setting is foretold from all others."""
    smallest: float
    largest: float
    """What the cheapest and the dearest trial cost."""

    def at(self, *sizes: Numbers) -> np.ndarray:
        """Return what sizes cost."""
        checked = checked_sizes(sizes)
        return self.base + sum(
            (price * _product(term, checked) for term, price in self.prices.items()), np.zeros(checked[0].shape)
        )

    def in_words(self) -> str:
        """Return the law as a sentence."""
        parts = [f"{price:.3g} x {_named(term, self.x_names)}" for term, price in self.prices.items() if price]
        return (
            f"{self.name} is {' + '.join([f'{self.base:.3g}', *parts])} (largest deviation "
            f"{100 * self.max_relative_error:.0f} % over {self.num_points} trials, {100 * self.left_out_error:.0f} % "
            "for settings left out)"
        )


def fit_cost(name: str, sizes: Mapping[str, Numbers], costs: Numbers, terms: Sequence[Term]) -> CostLaw | Refused:
    """Fit costs as a base and prices of products of sizes, or say why not.

    Args:
        name: What it costs.
        sizes: Of each trial, by name.
        costs: Of each trial, above 0.
        terms: Products to be priced, most important first; those that the trials cannot tell from others are left out.
    """
    checked, amounts = checked_sizes(tuple(sizes.values())), np.asarray(costs, dtype=np.float64)
    design, kept = np.ones((len(amounts), 1)), []
    for term in terms:
        wider = np.column_stack([design, _product(term, checked)])
        if np.linalg.matrix_rank(wider / wider.max(axis=0)) == wider.shape[1]:
            design, kept = wider, [*kept, term]
    missed = left_out(design, amounts, np.unique(design[:, 1:], axis=0))
    if not kept or missed is None:
        return Refused(reason=f"no law of {name}: the trials are too few to price {' and '.join(sizes)}")
    if missed > MOST_LEFT_OUT:
        return Refused(
            reason=f"no law of {name}: it would miss a setting that was left out by {100 * missed:.0f} %, expected at "
            f"most {100 * MOST_LEFT_OUT:.0f} %"
        )
    base, *prices = solve(design, amounts)
    foretold = design @ np.array([base, *prices])
    return CostLaw(
        name=name,
        x_names=tuple(sizes),
        base=base,
        prices=dict(zip(kept, prices, strict=True)),
        num_points=len(amounts),
        max_relative_error=float(np.abs(foretold / amounts - 1).max()),
        left_out_error=missed,
        smallest=float(amounts.min()),
        largest=float(amounts.max()),
    )


def _product(term: Term, sizes: Sequence[np.ndarray]) -> np.ndarray:
    return np.prod([size**power for size, power in zip(sizes, term, strict=True)], axis=0)


def _named(term: Term, x_names: Sequence[str]) -> str:
    parts = [name if power == 1 else f"{name}^{power:g}" for name, power in zip(x_names, term, strict=True) if power]
    return " x ".join(parts)
