"""The config as columns: a column per path, derived from the dataclasses, and the way back from a row to a config.

A field's path is its column, its type decides the Arrow type, and the string under the field is its meaning. Where
several dataclasses can stand in a branch (`model.head` is an ActionFormer or a G-TAD), the columns of all are there and
`model.head.kind` says which of them have a value.
"""

import ast
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, get_args, get_origin

import pyarrow as pa

from harness.config import TrialConfig


class Column(NamedTuple):
    """One column of a table."""

    name: str
    type: pa.DataType
    unit: str
    """Empty where the value has none."""
    meaning: str

    @property
    def field(self) -> pa.Field:
        """Return the Arrow field, with unit and meaning as its metadata."""
        return pa.field(self.name, self.type, metadata={"unit": self.unit, "meaning": self.meaning})


class _Item(NamedTuple):
    """A field of a dataclass: a leaf, or a branch in which one of `members` stands."""

    path: str
    hint: Any
    meaning: str
    members: tuple[type, ...]
    optional: bool


def config_columns(config_type: type = TrialConfig, prefix: str = "") -> tuple[Column, ...]:
    """Return a column for every path that a config of this type can have, in declaration order.

    A branch that can be absent also has a column under its own path: the kind of the branch, null when absent (then
    all columns below it are null).
    """
    columns: list[Column] = []
    for item in _items(config_type, prefix):
        if item.members and item.optional:
            meaning = f"Kind of `{item.path}`; null when there is none, as is all below it."
            columns.append(Column(item.path, pa.string(), "", meaning))
        if item.members:
            columns.extend(_united(item))
        else:
            columns.append(Column(item.path, _arrow_type(item.hint, item.path), "", item.meaning))
    return tuple(columns)


def config_values(row: Mapping[str, Any], config_type: type = TrialConfig, prefix: str = "") -> dict[str, Any]:
    """Return a row's config as `harness.config.flatten` gave it, ready for `unflatten`.

    A value that the row lacks because it is older than the field is left out, so that the field's default counts. A
    row from before a branch could be of several kinds is of the first.

    Raises:
        ValueError: a branch is of a kind that this program does not know.
    """
    values: dict[str, Any] = {}
    for item in _items(config_type, prefix):
        value = row.get(item.path)
        if item.members and item.optional and value is None:
            values[item.path] = None
        elif item.members:
            values.update(config_values(row, _member(item, row.get(f"{item.path}.kind")), f"{item.path}."))
        elif value is not None:
            values[item.path] = _restored(value, item.hint)
        elif item.optional:
            values[item.path] = None
    return values


def _items(config_type: type, prefix: str) -> Iterator[_Item]:
    hints, meanings = typing.get_type_hints(config_type), _meanings(config_type)
    for field in fields(config_type):
        hint = hints[field.name]
        options = get_args(hint) if get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
        members = tuple(option for option in options if is_dataclass(option))
        yield _Item(
            path=f"{prefix}{field.name}",
            hint=next(option for option in options if option is not type(None)),
            meaning=meanings.get(field.name) or _spoken(field.name, hint),
            members=typing.cast("tuple[type, ...]", members),
            optional=type(None) in options,
        )


def _spoken(name: str, hint: Any) -> str:
    """Return the meaning of a field that has no string under it: its choices, or its name in words."""
    if get_origin(hint) is Literal:
        return f"One of {', '.join(f'`{choice}`' for choice in get_args(hint))}."
    return f"{name.replace('_', ' ').capitalize()}."


def _member(item: _Item, kind: Any) -> type:
    if kind is None or len(item.members) == 1:
        return item.members[0]
    for member in item.members:
        if kind in _kinds(member):
            return member
    known = ", ".join(name for member in item.members for name in _kinds(member))
    raise ValueError(f"{item.path}.kind is {kind}, expected one of {known}")


def _kinds(member: type) -> tuple[str, ...]:
    return get_args(typing.get_type_hints(member)["kind"])


def _united(branch: _Item) -> Iterator[Column]:
    """Yield the columns of all dataclasses that can stand in a branch, those of one path as one column."""
    owners: dict[str, dict[type, Column]] = {}
    for member in branch.members:
        for column in config_columns(member, f"{branch.path}."):
            owners.setdefault(column.name, {})[member] = column
    for path, columns in owners.items():
        if len(branch.members) == 1:
            yield from columns.values()
        elif path == f"{branch.path}.kind":
            known = ", ".join(f"`{kind}`" for member in columns for kind in _kinds(member))
            yield Column(path, pa.string(), "", f"One of {known}: says which columns beside it have a value.")
        else:
            common = _common_type([column.type for column in columns.values()], path)
            yield Column(path, common, "", _meaning(columns, everywhere=len(columns) == len(branch.members)))


def _common_type(kinds: Sequence[pa.DataType], path: str) -> pa.DataType:
    """Return the type that holds every kind's values: int and float become double, one and several a list."""
    distinct = {kind.value_type if pa.types.is_list(kind) else kind for kind in kinds}
    if distinct == {pa.int64(), pa.float64()}:
        distinct = {pa.float64()}
    assert len(distinct) == 1, f"config path {path} is {' and '.join(sorted(map(str, kinds)))}, expected one type"
    (common,) = distinct
    return pa.list_(common) if any(pa.types.is_list(kind) for kind in kinds) else common


def _meaning(owners: Mapping[type, Column], *, everywhere: bool) -> str:
    """Return the meaning of a column, with the kinds it belongs to where it is not of all or not the same for all."""
    texts: dict[str, list[str]] = {}
    for member, column in owners.items():
        texts.setdefault(column.meaning, []).extend(f"`{kind}`" for kind in _kinds(member))
    if everywhere and len(texts) == 1:
        return next(iter(texts))
    return " ".join(f"{', '.join(kinds)}: {text}" for text, kinds in texts.items())


def _arrow_type(hint: Any, path: str) -> pa.DataType:
    if get_origin(hint) is Literal:
        return _arrow_type(type(get_args(hint)[0]), path)
    if get_origin(hint) is tuple:
        return pa.list_(_arrow_type(get_args(hint)[0], path))
    try:
        return {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}[hint]
    except KeyError:
        raise TypeError(f"config field {path} is {hint}, which has no column type") from None


def _restored(value: Any, hint: Any) -> Any:
    """Return a value as its field holds it: the column may be wider, for the sake of another kind."""
    if get_origin(hint) is tuple:
        return tuple(_restored(item, get_args(hint)[0]) for item in value)
    if isinstance(value, list):
        (value,) = value
    return hint(value) if hint in (int, float) else value


@cache
def _meanings(config_type: type) -> dict[str, str]:
    """Return the string that stands under each field in the source, on one line."""
    body = ast.parse(textwrap.dedent(inspect.getsource(config_type))).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id: " ".join(string.value.value.split())
        for field, string in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(string, ast.Expr)
        and isinstance(string.value, ast.Constant)
        and isinstance(string.value.value, str)
    }
