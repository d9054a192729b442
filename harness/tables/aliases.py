"""Short names for config columns in queries: `frames` for `"data.window.frames"`.

A short name is the end of a path, its dots written as underscores, as long as no other column ends so: `kernel`,
`adapter_lr`, `backbone_width`. A branch stands for its `name`, or where it has none for its `kind`: `backbone`, `head`.
"""

from collections.abc import Iterable, Iterator


def endings(columns: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return for each ending of a path the columns that it could mean; no ending is itself a column."""
    known = set(columns)
    meant: dict[str, list[str]] = {}
    for path, column in _paths(sorted(known), known):
        parts = path.split(".")
        for start in range(len(parts)):
            meant.setdefault("_".join(parts[start:]), []).append(column)
    return {ending: tuple(owners) for ending, owners in meant.items() if ending not in known}


def short_names(columns: Iterable[str]) -> dict[str, str]:
    """Return the column that each unambiguous short name means."""
    return {ending: owners[0] for ending, owners in endings(columns).items() if len(owners) == 1}


def _paths(columns: Iterable[str], known: set[str]) -> Iterator[tuple[str, str]]:
    """Yield each path with the column that it means; a branch without a column of its own means one below it."""
    for column in columns:
        branch, dot, leaf = column.rpartition(".")
        if dot:
            yield column, column
        if dot and branch not in known and (leaf == "name" or (leaf == "kind" and f"{branch}.name" not in known)):
            yield branch, column
