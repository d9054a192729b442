"""A worker that a trial left memory in ends, and its slot starts another; the board is real, Ray is made up."""

import threading
from typing import Any

import pytest

from harness.orchestrate import slots, worker
from harness.orchestrate.board import Board
from harness.orchestrate.slots import Slot, SlotConfig


class Remote:
    """Calls at once what Ray would call elsewhere."""

    def __init__(self, board: Board, method: str) -> None:
        self._board = board
        self._method = method

    def remote(self, *args: Any) -> Any:
        match self._method, args:
            case "call", (name, *rest):
                return getattr(self._board, name)(*rest)
            case "take", (slot, incarnation, _):
                self._board.slot_up(slot, incarnation)
                return self._board.take(slot)
            case _:
                return None


class FakeActor:
    """A board as a worker or a slot sees it."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __getattr__(self, method: str) -> Remote:
        return Remote(self._board, method)


class Context:
    """A Ray Train context of one rank."""

    def __init__(self, rank: int, world_size: int) -> None:
        self._rank = rank
        self._world_size = world_size

    def get_world_rank(self) -> int:
        return self._rank

    def get_world_size(self) -> int:
        return self._world_size


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    """Return a board with three trials, found wherever Ray is asked for it."""
    made = Board({digest: {} for digest in "abc"}, hand_outs=3, slots=1)
    for digest in "abc":
        made.submit(digest)
    for module in (worker, slots):
        monkeypatch.setattr(module.ray, "get_actor", lambda *_, **__: FakeActor(made))
        monkeypatch.setattr(module.ray, "get", lambda answer: answer)
    monkeypatch.setattr(worker, "_nodes", lambda world_size: ["n"] * world_size)
    monkeypatch.setattr(worker, "take_largest_card", lambda: None)
    monkeypatch.setattr(worker, "bound_memory", lambda card_bytes: None)
    monkeypatch.setattr(worker, "_use_threads", lambda num_threads: None)
    monkeypatch.setattr(worker, "load", lambda path: lambda job, reporter: {"state": "finished"})
    monkeypatch.setattr(worker.ray.train, "get_context", lambda: Context(0, 1))
    return made


def leaving(monkeypatch: pytest.MonkeyPatch, *left: str | None) -> None:
    """Let trials leave these things behind, one after another."""
    each = iter(left)
    monkeypatch.setattr(worker, "Leftovers", lambda: type("Left", (), {"of_last_trial": lambda _: next(each)})())


def serve(*, kind: str = "warm") -> None:
    worker.serve({"board": "b", "slot": 0, "execute": "x", "once": kind == "fresh", "cpus_per_worker": 1})


def ends(board: Board) -> list[str]:
    return [event["digest"] for event in board.events() if event["kind"] == "ended"]


def test_a_worker_goes_on_while_nothing_is_left_behind(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    leaving(monkeypatch, None, None, None)
    serve()
    assert ends(board) == ["a", "b", "c"]
    assert not board.takes_renewal(0)


def test_a_worker_ends_after_the_trial_that_left_something_and_the_board_is_told_once(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving(monkeypatch, None, "612 MiB of host memory")
    serve()
    happened = board.events()
    assert [event["digest"] for event in happened if event["kind"] == "ended"] == ["a", "b"]
    (renewed,) = [event for event in happened if event["kind"] == "renewed"]
    assert renewed["reason"] == "its last trial left 612 MiB of host memory behind"
    assert board.takes_renewal(0)
    assert not board.takes_renewal(0), "once per worker"


def test_workers_of_one_trial_leave_together_whichever_of_them_leaks(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.ray.train, "get_context", lambda: Context(0, 2))
    monkeypatch.setattr(worker, "broadcast_from_rank_zero", lambda job: job)
    others = iter([None, "1 GiB on the card"])
    monkeypatch.setattr("harness.training.distributed.gather", lambda mine: [mine, next(others)])
    leaving(monkeypatch, None, None)
    serve()
    assert ends(board) == ["a", "b"]
    assert board.takes_renewal(0)


def test_a_fresh_worker_does_not_look(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    leaving(monkeypatch)
    serve(kind="fresh")
    assert ends(board) == ["a"]


def test_a_warm_slot_starts_workers_until_one_ends_because_there_is_nothing_left(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving(monkeypatch, "1 GiB of host memory", "2 GiB of host memory", None)
    groups: list[int] = []

    def fit(slot: Slot, spot: Any) -> None:
        groups.append(slot.index)
        serve()

    monkeypatch.setattr(Slot, "_fit", fit)
    slot = Slot(0, SlotConfig(kind="warm", board="b", execute="x", storage="s"), threading.Event())
    slot.start()
    assert slot.join(60)
    assert slot.error is None
    assert groups == [0, 0, 0]
    assert ends(board) == ["a", "b", "c"]


def test_a_board_that_is_closed_wants_no_new_worker(board: Board) -> None:
    board.renew(0, "1 GiB of host memory")
    board.closed = True
    assert not board.takes_renewal(0)
