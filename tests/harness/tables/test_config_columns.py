"""Columns from dataclasses, and back: branches of several kinds with toy configs, then the real one."""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pytest

from harness.config import TrialConfig, flatten, unflatten
from harness.tables.config_columns import config_columns, config_values


@dataclass(frozen=True, kw_only=True)
class Collar:
    kind: Literal["collar"] = "collar"
    length_cm: float = 30.0
    """Length when open."""


@dataclass(frozen=True, kw_only=True)
class Cat:
    kind: Literal["cat"] = "cat"
    lives: int = 9
    """Lives that are left."""
    toys: tuple[str, ...] = ()
    weight: int = 4
    toes: int = 18
    collar: Collar | None = None


@dataclass(frozen=True, kw_only=True)
class Dog:
    kind: Literal["dog", "wolf"] = "dog"
    weight: float = 20.5
    toys: tuple[str, ...] = ("ball",)
    toes: tuple[int, ...] = (5, 4)
    """Front, back."""


@dataclass(frozen=True, kw_only=True)
class Fish:
    kind: Literal["fish"] = "fish"
    depth_m: float = 3.0
    weight: float = 0.5


@dataclass(frozen=True, kw_only=True)
class House:
    pet: Cat | Dog | Fish
    guest: Cat | Dog | None = None
    """Who stays for the night."""
    rooms: int | None = None
    doors: int = 1


COLUMNS = {column.name: column for column in config_columns(House)}


def test_a_branch_of_several_kinds_has_the_columns_of_all_in_their_order():
    assert [(name.removeprefix("pet."), str(column.type)) for name, column in COLUMNS.items() if "pet" in name] == [
        ("kind", "string"),
        ("lives", "int64"),
        ("toys", "list<item: string>"),
        ("weight", "double"),
        ("toes", "list<item: int64>"),
        ("collar", "string"),
        ("collar.kind", "string"),
        ("collar.length_cm", "double"),
        ("depth_m", "double"),
    ]


def test_only_a_branch_that_can_be_absent_has_a_column_of_its_own():
    assert "pet" not in COLUMNS
    assert COLUMNS["guest"].type == pa.string()
    assert COLUMNS["rooms"].type == pa.int64()


def test_the_meaning_names_the_kinds_a_column_belongs_to():
    assert COLUMNS["pet.lives"].meaning == "`cat`: Lives that are left."
    assert COLUMNS["pet.toes"].meaning == "`cat`: Toes. `dog`, `wolf`: Front, back."
    assert COLUMNS["pet.toys"].meaning == "`cat`, `dog`, `wolf`: Toys."
    assert COLUMNS["guest.toys"].meaning == COLUMNS["pet.weight"].meaning.replace("Weight", "Toys") == "Toys."
    assert COLUMNS["pet.kind"].meaning.startswith("One of `cat`, `dog`, `wolf`, `fish`")
    assert COLUMNS["pet.collar.kind"].meaning == "`cat`: One of `collar`."


def test_one_path_with_two_types_is_a_defect():
    @dataclass(frozen=True)
    class Named:
        kind: Literal["named"] = "named"
        lives: str = "nine"

    @dataclass(frozen=True)
    class Home:
        pet: Cat | Named

    with pytest.raises(AssertionError, match=r"pet\.lives is int64 and string, expected one type"):
        config_columns(Home)


def stored(config) -> dict:
    """Return the row a table gives back: every column there, values as wide as their columns."""
    flat = flatten(config)
    row = dict.fromkeys(COLUMNS)
    for name, value in flat.items():
        kind = COLUMNS[name].type
        if value is not None and pa.types.is_list(kind) and not isinstance(value, tuple):
            value = [value]
        row[name] = pa.scalar(value, kind).as_py()
    return row | {"guest": row["guest.kind"], "pet.collar": row["pet.collar.kind"]}


@pytest.mark.parametrize(
    "house",
    [
        House(pet=Cat()),
        House(pet=Cat(collar=Collar(length_cm=31)), rooms=3),
        House(pet=Dog(weight=21, toys=()), guest=Cat(lives=1)),
        House(pet=Dog(kind="wolf"), guest=Dog()),
        House(pet=Fish()),
    ],
)
def test_a_row_gives_back_the_config_that_was_stored(house):
    values = config_values(stored(house), House)
    assert values == flatten(house)
    assert [type(value) for value in values.values()] == [type(value) for value in flatten(house).values()]
    assert unflatten(values, House) == house


def test_what_a_row_is_too_old_to_have_takes_its_default():
    row = stored(House(pet=Cat(lives=3), doors=2))
    old = {name: value for name, value in row.items() if name not in ("doors", "pet.kind", "pet.weight")}
    values = config_values(old, House)
    assert "doors" not in values
    assert unflatten({**values, "pet.kind": "cat"}, House) == House(pet=Cat(lives=3))


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match=r"pet\.kind is snake, expected one of cat, dog, wolf, fish"):
        config_values(stored(House(pet=Cat())) | {"pet.kind": "snake"}, House)


def test_every_path_of_a_trial_has_one_column_with_a_meaning():
    columns = config_columns(TrialConfig)
    assert len({column.name for column in columns}) == len(columns)
    assert [column.name for column in columns if not column.meaning.endswith(".")] == []
