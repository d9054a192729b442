"""Ctrl-C and SIGTERM at every unlucky moment of a sweep; Ray, slots and Tune are made up, the board is the real one."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from harness.orchestrate import crew
from harness.orchestrate import sweep as module
from harness.orchestrate.board_actor import BoardActor
from harness.orchestrate.cluster import SLOT_THREADS, Cluster, in_use
from harness.orchestrate.interrupts import ECHO_S, STOPPED_CODE, Interrupts
from harness.orchestrate.jobs import Event, Job
from harness.orchestrate.sweep import run_sweep


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self) -> None:
        self.now += 2 * ECHO_S


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def left() -> list[int]:
    return []


@pytest.fixture
def interrupts(clock: Clock, left: list[int]) -> Interrupts:
    return Interrupts(leave=left.append, clock=clock)


def interrupt(number: int = signal.SIGINT) -> None:
    signal.raise_signal(number)


def test_the_first_asks_the_second_breaks_off_and_the_third_ends_the_process(
    interrupts: Interrupts, clock: Clock, left: list[int]
) -> None:
    reached = False
    with interrupts:
        with interrupts.breakable():
            interrupt()
            assert interrupts.asked
            clock.wait()
            interrupt(signal.SIGTERM)
            reached = True
        assert not reached
        assert left == []
        clock.wait()
        interrupt()
    assert left == [STOPPED_CODE]


def test_an_echo_of_the_signal_is_the_same_wish(interrupts: Interrupts, left: list[int]) -> None:
    heard = []
    with interrupts, interrupts.breakable():
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            interrupt(number)
            heard.append(number)
    assert interrupts.asked
    assert len(heard) == 3, "none of them broke anything off"
    assert left == []


def test_where_nothing_can_be_broken_off_the_second_ends_the_process(
    interrupts: Interrupts, clock: Clock, left: list[int]
) -> None:
    with interrupts:
        interrupt()
        clock.wait()
        interrupt()
        assert left == [STOPPED_CODE]
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def test_the_signals_go_back_even_if_ray_took_them_in_between(interrupts: Interrupts) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interrupts, interrupts:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        interrupts.listen()
        interrupt(signal.SIGTERM)
        assert interrupts.asked
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_thread_of_a_study_keeps_ray_from_being_shut_down_beneath_it() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name=f"{SLOT_THREADS}9", daemon=True)
    assert not in_use()
    thread.start()
    assert in_use()
    end.set()
    thread.join()
    assert not in_use()


NODE = "0" * 56


class FakeRay:
    """Answers what a sweep asks its board; `before` is called with every method's name and may do anything."""

    def __init__(self, before: Callable[[str], None]) -> None:
        self.before = before
        self.loop = asyncio.new_event_loop()
        self.board: Any = None

    def remote(self, kind: Any) -> Any:
        assert kind is BoardActor
        return self

    def options(self, **options: Any) -> Any:
        assert options["scheduling_strategy"].node_id == NODE, "the board is on the study's own machine"
        return _Called(self._make)

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: NODE)

    def get(self, answer: Any, timeout: float | None = None) -> Any:
        name, arguments = answer
        self.before(arguments[0] if name == "call" else name)
        return self.loop.run_until_complete(getattr(self.board, name)(*arguments))

    def _make(self, payloads: Any, **how: Any) -> "_Handle":
        self.board = BoardActor(payloads, **how)
        return _Handle()


class _Called:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.remote = function


class _Handle:
    def __getattr__(self, name: str) -> _Called:
        return _Called(lambda *arguments: (name, arguments))


class FakeTuning:
    """Submits nothing by itself: a test does."""

    error: str | None = None
    alive = True

    def __init__(self, *arguments: Any, **more: Any) -> None: ...

    def start(self) -> None: ...

    def join(self, timeout_s: float) -> None: ...


class FakeSlot:
    """A slot that never gets anywhere."""

    error: str | None = None
    alive = True
    ended = False

    def __init__(self, *arguments: Any) -> None: ...

    def start(self) -> None: ...

    def join(self, timeout_s: float) -> bool:
        return True


class Stage:
    """A sweep of two jobs on one slot, with what a test lets happen before each question to the board."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.happens: dict[str, list[Callable[[], None]]] = {}
        self.events: list[Event] = []
        self.clock = Clock()
        self.left: list[int] = []
        self.ray = FakeRay(self._before)
        self._cluster = Cluster(own=True, dashboard_url=None, resources={"CPU": 2.0}, storage=str(folder))
        monkeypatch.setattr(module, "ray", self.ray)
        monkeypatch.setattr(crew, "Slot", FakeSlot)
        monkeypatch.setattr(module, "Tuning", FakeTuning)

    def _before(self, method: str) -> None:
        for act in self.happens.get(method, [])[:1]:
            self.happens[method].remove(act)
            act()

    def start_a(self) -> None:
        self.ray.board._board.submit("a")
        assert self.ray.board._board.take(0) is not None

    def interrupt(self) -> None:
        self.clock.wait()
        interrupt()

    def run(self, grace_s: float = 30.0) -> tuple[dict[str, str], bool]:
        interrupts = Interrupts(leave=self.left.append, clock=self.clock)
        jobs = [Job(digest=name, name=name, payload={}) for name in "ab"]
        outcomes = run_sweep(
            self._cluster,
            jobs,
            execute="nothing",
            num_slots=1,
            on_event=self.events.append,
            stop_grace_s=grace_s,
            interrupts=interrupts,
        )
        return {digest: outcome.state for digest, outcome in outcomes.items()}, interrupts.asked


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(monkeypatch, tmp_path)
    yield made
    made.ray.loop.close()


def test_an_interrupt_before_the_first_trial_ends_the_study_at_once(stage: Stage) -> None:
    stage.happens["events"] = [stage.interrupt]
    assert stage.run() == ({}, True)
    assert [event.kind for event in stage.events] == ["stopping"]


def test_a_running_trial_is_given_time_to_save_its_state(stage: Stage) -> None:
    def saved() -> None:
        stage.ray.board._board.end("a", {"state": "interrupted"})

    stage.happens["events"] = [stage.start_a, stage.interrupt, lambda: None, saved]
    assert stage.run() == ({"a": "interrupted"}, True)


def test_two_interrupts_before_the_study_looked_leave_it_stopped_and_not_done(stage: Stage) -> None:
    # Both within one question to the board: it is never told that the study stops.
    stage.happens["events"] = [stage.start_a, lambda: (stage.interrupt(), stage.interrupt())]  # type: ignore[list-item]
    assert stage.run() == ({"a": "interrupted"}, True)
    assert stage.left == []


def test_ray_that_goes_away_while_the_study_stops_is_no_error(stage: Stage) -> None:
    def gone() -> None:
        raise ActorDiedError

    stage.happens["events"] = [stage.start_a, stage.interrupt]
    stage.happens["stop"] = [gone]
    assert stage.run() == ({"a": "interrupted"}, True)


def test_ray_that_goes_away_by_itself_is_one(stage: Stage) -> None:
    def gone() -> None:
        raise ActorDiedError

    stage.happens["events"] = [stage.start_a, gone]
    with pytest.raises(ActorDiedError):
        stage.run()


def test_tune_that_breaks_while_the_study_stops_fails_no_trial(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def saved() -> None:
        stage.ray.board._board.end("a", {"state": "interrupted"})

    def broken() -> None:
        monkeypatch.setattr(FakeTuning, "error", "RuntimeError: gone")

    stage.happens["events"] = [stage.start_a, stage.interrupt, broken, lambda: None, saved]
    assert stage.run() == ({"a": "interrupted"}, True)


def test_slots_that_die_while_the_study_stops_are_not_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.happens["events"] = [
        stage.start_a,
        stage.interrupt,
        lambda: monkeypatch.setattr(FakeSlot, "alive", False),
    ]
    began = time.monotonic()
    assert stage.run(grace_s=60) == ({"a": "interrupted"}, True)
    assert time.monotonic() - began < 30


def test_an_interrupt_after_the_last_trial_changes_nothing(stage: Stage) -> None:
    def ended() -> None:
        for name in "ab":
            stage.ray.board._board.end(name, {"state": "finished"})

    stage.happens["events"] = [stage.start_a, ended]
    stage.happens["close"] = [stage.interrupt]
    assert stage.run() == ({"a": "finished", "b": "finished"}, True)


def test_a_trial_whose_worker_just_died_is_not_waited_for(stage: Stage) -> None:
    def dies() -> None:
        stage.ray.board._board.worker_died(0, "ActorDiedError: gone")
        stage.interrupt()

    stage.happens["events"] = [stage.start_a, dies]
    began = time.monotonic()
    assert stage.run(grace_s=60) == ({"a": "interrupted"}, True)
    assert time.monotonic() - began < 30


def test_a_follower_of_a_job_that_was_left_behind_ends_with_the_board() -> None:
    async def play() -> Any:
        actor = BoardActor({"a": {}}, hand_outs=3, slots=1)
        await actor.call("submit", "a")
        await actor.take(0, "x")
        await actor.close()
        return await asyncio.wait_for(actor.follow("a", 0), 5)

    assert asyncio.run(play()) == (0, [], {"state": "interrupted", "result": None})
