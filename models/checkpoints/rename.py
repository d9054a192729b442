"""Translating by renaming: most layouts differ from ours in names alone."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from models.checkpoints.layout import Translated

Rule = tuple[str, str]
"""A pattern that matches a whole key, and what becomes of it: our name, or the reason why it is ignored."""


def rename(state: Mapping[str, Tensor], rules: Sequence[Rule], ignored: Sequence[Rule] = ()) -> Translated:
    """Return the tensors under our names; a key that no rule knows, or that would take another's name, is unknown."""
    renamed: dict[str, Tensor] = {}
    reasons: dict[str, str] = {}
    unknown: list[str] = []
    for name, value in state.items():
        own, reason = first_match(name, rules), first_match(name, ignored)
        if own is not None and own not in renamed:
            renamed[own] = value
        elif own is None and reason is not None:
            reasons[name] = reason
        else:
            unknown.append(name)
    return Translated(state=renamed, ignored=reasons, unknown=tuple(unknown))


def first_match(name: str, rules: Sequence[Rule]) -> str | None:
    """Return what the first rule that knows a key makes of it."""
    for pattern, result in rules:
        if found := re.fullmatch(pattern, name):
            return found.expand(result)
    return None


def join(*parts: Translated) -> Translated:
    """Return the translations of a file's parts as one."""
    return Translated(
        state={name: value for part in parts for name, value in part.state.items()},
        ignored={name: reason for part in parts for name, reason in part.ignored.items()},
        unknown=tuple(name for part in parts for name in part.unknown),
        refused={name: reason for part in parts for name, reason in part.refused.items()},
    )


def prefixed(part: Translated, *, theirs: str = "", ours: str = "") -> Translated:
    """Return a translation with prefixes before the file's keys and before our names."""
    return Translated(
        state={ours + name: value for name, value in part.state.items()},
        ignored={theirs + name: reason for name, reason in part.ignored.items()},
        unknown=tuple(theirs + name for name in part.unknown),
        refused={theirs + name: reason for name, reason in part.refused.items()},
    )
