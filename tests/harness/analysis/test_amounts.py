"""Amounts for people, in one unit for a whole column."""

import pytest

from harness.analysis.amounts import count_text, memory_unit, time_unit


@pytest.mark.parametrize(
    ("amounts", "name", "text"),
    [((2**20, None), "MiB", "1.0"), ((2**20, 2**30), "GiB", "0.0"), ((), "MiB", ""), ((3 * 2**40,), "GiB", "3,072.0")],
)
def test_memory_that_is_compared_stands_in_one_unit(amounts, name, text):
    unit = memory_unit(amounts)
    assert unit.name == name
    assert unit.text(amounts[0] if amounts else None) == text
    assert unit.of(None) is None


@pytest.mark.parametrize(("seconds", "name"), [((5, 110), "s"), ((5, 121), "min"), ((7200,), "h"), ((), "s")])
def test_time_is_given_in_what_the_longest_needs(seconds, name):
    assert time_unit(seconds).name == name


@pytest.mark.parametrize(
    ("number", "text"), [(12, "12"), (618_450, "618 k"), (1_212_978, "1.21 M"), (1.01e9, "1.01 G"), (1.08e13, "10.8 T")]
)
def test_large_counts_are_said_shortly(number, text):
    assert count_text(number) == text
