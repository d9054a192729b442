"""Slots without a cluster: what they do with workers that die, places that are gone, and turns they never get."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from harness.orchestrate import slots as module
from harness.orchestrate.board import Board
from harness.orchestrate.packing import Need, Node, Packing
from harness.orchestrate.slots import MAX_FAILURES, Slot, SlotConfig


def test_a_slot_that_was_never_started_has_nothing_to_wait_for():
    config = SlotConfig(kind="warm", board="none", execute="none", storage="none")
    slot = Slot(0, config, threading.Event())
    assert slot.join(timeout_s=60)
    assert not slot.alive
    assert not slot.ended


class Stage:
    """A board for two jobs, each on half of the machine, and a fit that does what the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        packing = Packing([Node(name=name, cpus=1, host_bytes=0) for name in "ab"])
        needs = {"x": Need(), "y": Need()}
        self.board = Board(
            {"x": {}, "y": {}}, hand_outs=1 + MAX_FAILURES, slots=1, sticky=True, needs=needs, packing=packing
        )
        self.alive = {"a", "b"}
        self.fits: list[tuple[str, ...]] = []
        for name in ("x", "y"):
            self.board.submit(name)
        monkeypatch.setattr(module.ray, "get_actor", lambda *names, **more: self)
        monkeypatch.setattr(module.ray, "get", lambda answer: answer)
        monkeypatch.setattr(module.ray, "nodes", lambda: [{"NodeID": name, "Alive": True} for name in self.alive])
        self.call = _Remote(lambda method, *arguments: getattr(self.board, method)(*arguments))
        self.reserve = _Remote(lambda slot: self.board.num_ended < 2 and self.board.reserve(slot))

    def serve(self, fit: Callable[[dict[str, Any]], None]) -> Slot:
        slot = Slot(0, SlotConfig(kind="fresh", board="b", execute="none", storage="none"), threading.Event())

        def started(spots: Any) -> None:
            self.fits.append(tuple(spot.node for spot in spots))
            job = self.board.take(0)
            assert job is not None
            fit(job)

        slot._fit = started  # type: ignore[method-assign]
        slot.start()
        assert slot.join(timeout_s=60)
        return slot

    def states(self) -> list[str | None]:
        ends = [self.board.follow(name, 0)[2] for name in ("x", "y")]
        return [end["state"] if end else None for end in ends]


class _Remote:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.remote = function


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def test_a_fresh_slot_survives_a_worker_that_dies_and_the_trial_goes_on(stage: Stage) -> None:
    def fit(job: dict[str, Any]) -> None:
        if job["hand_out"] == 1:
            raise RuntimeError("ActorDiedError: the worker died")
        stage.board.end(job["digest"], {"state": "finished"})

    assert stage.serve(fit).error is None
    assert stage.states() == ["finished", "finished"]
    assert len(stage.fits) == 4


def test_a_trial_that_kills_every_worker_ends_and_the_slot_takes_the_next(stage: Stage) -> None:
    def fit(job: dict[str, Any]) -> None:
        if job["digest"] == "x":
            raise RuntimeError("ActorDiedError: the worker died")
        stage.board.end(job["digest"], {"state": "finished"})

    assert stage.serve(fit).error is None
    assert stage.states() == ["failed", "finished"]


def test_a_slot_whose_workers_never_come_up_gives_up(stage: Stage) -> None:
    def fit(spots: Any) -> None:
        stage.fits.append(())
        raise RuntimeError("no worker came up")

    slot = Slot(0, SlotConfig(kind="fresh", board="b", execute="none", storage="none"), threading.Event())
    slot._fit = fit  # type: ignore[method-assign]
    slot.start()
    assert slot.join(timeout_s=60)
    assert slot.error == "no worker came up"
    assert slot.ended
    assert len(stage.fits) == 1 + MAX_FAILURES


def test_a_place_on_a_machine_that_is_gone_is_left_for_another(stage: Stage) -> None:
    stage.alive = {"b"}
    stage.serve(lambda job: stage.board.end(job["digest"], {"state": "finished"}))
    assert stage.fits == [("b",), ("b",)]
    assert stage.states() == ["finished", "finished"]
