"""Which config values a study varied, read off its rows: the study's script need not be at hand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.analysis.names import WORDS

Row = Mapping[str, Any]

PREFERRED_X = ("data.window.frames", "data.window.resolution")
"""What stands on the horizontal axis when it varies."""
MOST_TIED = 12
"""Values that differ everywhere, as in a random search, are one-to-one by chance; a short list is so on purpose."""


@dataclass(frozen=True)
class Axes:
    """What varies in a study."""

    paths: tuple[str, ...]
    """Config paths that tell the settings apart; the seed is not among them."""
    tied: Mapping[str, str] = field(default_factory=dict)
    """Paths that vary with one of `paths` and say nothing more: `data.window.features` to `data.window.frames`."""


def find_axes(rows: Sequence[Row]) -> Axes:
    """Return the config paths whose values differ between rows, each fact once.

    What follows from the kind or name of its branch (the width of a backbone) is left out, and of paths that change
    together the best known one stays, or the one that says most.
    """
    values = {path: [hashable(row[path]) for row in rows] for path in (rows[0] if rows else ()) if "." in path}
    varying = [path for path, column in values.items() if len(set(column)) > 1]
    varying = [path for path in varying if not _follows_from_branch(path, varying, values)]
    kept: list[str] = []
    tied: dict[str, str] = {}
    for path in sorted(varying, key=lambda path: (path not in WORDS, -len(set(values[path])), _fame(path))):
        partner = next((other for other in kept if _tied(values[path], values[other])), None)
        if partner is None:
            kept.append(path)
        else:
            tied[path] = partner
    return Axes(tuple(path for path in values if path in kept), tied)


def choose_x(rows: Sequence[Row], paths: Sequence[str]) -> str | None:
    """Return the path for the horizontal axis: frames, then resolution, then the number with most values."""
    for path in PREFERRED_X:
        if path in paths:
            return path
    counts = {path: len({hashable(row[path]) for row in rows}) for path in paths}
    numeric = [path for path in paths if all(is_size(row[path]) for row in rows)]
    return max(numeric or paths, key=counts.__getitem__, default=None)


def choose_by(rows: Sequence[Row], paths: Sequence[str], x: str | None) -> str | None:
    """Return the path that tells lines apart: of the others the one with fewest values."""
    counts = {path: len({hashable(row[path]) for row in rows}) for path in paths if path != x}
    return min(counts, key=counts.__getitem__, default=None)


def is_size(value: Any) -> bool:
    """Return whether a value can stand on a logarithmic axis."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def hashable(value: Any) -> Any:
    """Return a list as a tuple, anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def _fame(path: str) -> int:
    """Return the place among the paths that have a word of their own."""
    return list(WORDS).index(path) if path in WORDS else len(WORDS)


def _follows_from_branch(path: str, varying: Sequence[str], values: Mapping[str, list[Any]]) -> bool:
    return any(
        identity in varying and identity != path and _follows(values[path], values[identity])
        for identity in _identities(path)
    )


def _identities(path: str) -> Iterator[str]:
    """Yield the columns that name the branches above a path, outermost first."""
    parts = path.split(".")
    for depth in range(1, len(parts)):
        branch = ".".join(parts[:depth])
        yield from (branch, f"{branch}.name")
        # `kind` follows from `name` where a branch has both, and never the other way round.
        if parts[-1] != "name":
            yield f"{branch}.kind"


def _follows(column: Sequence[Any], other: Sequence[Any]) -> bool:
    return len(set(zip(column, other, strict=True))) == len(set(other))


def _tied(column: Sequence[Any], other: Sequence[Any]) -> bool:
    """Return whether a column says nothing that another does not say: kinds may follow, sizes must go one-to-one."""
    if len(set(other)) > MOST_TIED or not _follows(column, other):
        return False
    kinds = not any(is_size(value) for value in (*column, *other))
    return kinds or _follows(other, column)
