"""The slots of a sweep together: how many start at a time, and how many there are when machines come and go."""

from typing import Any

import pytest

from harness.orchestrate import crew as module
from harness.orchestrate.crew import Crew
from harness.orchestrate.slots import SlotConfig

CONFIG = SlotConfig(kind="warm", board="none", execute="none", storage="none")


class FakeSlot:
    made: list["FakeSlot"]

    def __init__(self, index: int, config: SlotConfig, closing: Any) -> None:
        self.index = index
        self.closing = closing
        self.error: str | None = None
        self.ended = False
        self.alive = False
        FakeSlot.made.append(self)

    def start(self) -> None:
        self.alive = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[FakeSlot]:
    FakeSlot.made = []
    monkeypatch.setattr(module, "Slot", FakeSlot)
    return FakeSlot.made


def started(made: list[FakeSlot]) -> list[int]:
    return [slot.index for slot in made if slot.alive]


def test_slots_start_a_few_at_a_time_and_one_that_gave_up_makes_way(made: list[FakeSlot]) -> None:
    crew = Crew(CONFIG, 4, starts_at_once=1)
    crew.start(up=0)
    assert started(made) == [0]
    crew.start(up=1)
    assert started(made) == [0, 1]
    made[1].error = "no room"
    crew.start(up=1)
    assert started(made) == [0, 1, 2]
    assert crew.error == "no room"


def test_a_cluster_that_grows_gets_slots_and_one_that_shrinks_loses_none_that_serve(made: list[FakeSlot]) -> None:
    crew = Crew(CONFIG, 1, starts_at_once=1)
    crew.start(up=0)
    assert crew.grow(3)
    crew.start(up=1)
    assert started(made) == [0, 1, 2]
    assert not crew.grow(2)
    made[0].ended, made[0].alive = True, False
    assert not crew.grow(2)
    assert crew.grow(3), "the place of the one that ended is filled"
    assert [slot.index for slot in made] == [0, 1, 2, 3]
    assert crew.alive


def test_no_slot_starts_anything_once_the_crew_is_dismissed(made: list[FakeSlot]) -> None:
    crew = Crew(CONFIG, 2, starts_at_once=2)
    assert not any(slot.closing.is_set() for slot in made)
    crew.dismiss()
    assert all(slot.closing.is_set() for slot in made)
    assert not crew.alive
