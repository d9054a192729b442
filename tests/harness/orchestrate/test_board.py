"""The rules of the board, without Ray: who gets which job, and when a job has ended."""

import asyncio
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from harness.orchestrate.board import MOST_OVERTAKEN, MOST_SPOILT, Board
from harness.orchestrate.board_actor import BoardActor
from harness.orchestrate.packing import Need, Node, Packing


def board(*digests: str, hand_outs: int = 3, slots: int = 2, sticky: bool = False) -> Board:
    made = Board({digest: {"epochs": 2} for digest in digests}, hand_outs=hand_outs, slots=slots, sticky=sticky)
    for digest in digests:
        made.submit(digest)
    return made


def got(made: Board, slot: int) -> dict[str, Any] | None:
    """Do what a slot does: reserve a job, start a worker, which takes it."""
    made.reserve(slot)
    return made.take(slot)


def take(made: Board, slot: int) -> str | None:
    job = got(made, slot)
    return None if job is None else job["digest"]


def test_jobs_go_out_in_the_order_given_whoever_submits_first() -> None:
    made = Board({"a": {}, "b": {}, "c": {}}, hand_outs=3, slots=1)
    for digest in ("c", "a", "b"):
        made.submit(digest)
    order = []
    while (digest := take(made, 0)) is not None:
        order.append(digest)
        made.end(digest, {"state": "finished"})
    assert order == ["a", "b", "c"]


def test_nothing_is_handed_out_before_it_is_submitted() -> None:
    made = Board({"a": {}}, hand_outs=3, slots=1)
    assert got(made, 0) is None
    made.submit("a")
    assert take(made, 0) == "a"


def test_a_restarted_slot_gets_its_job_again_and_no_other_slot_does() -> None:
    made = board("a", "b", sticky=True)
    assert take(made, 0) == "a"
    made.worker_died(0, "ActorDiedError: gone")
    assert take(made, 1) == "b"
    again = got(made, 0)
    assert again is not None
    assert (again["digest"], again["hand_out"], again["epochs"]) == ("a", 2, 2)


def test_a_warm_slots_job_goes_to_whoever_is_idle_when_its_worker_dies() -> None:
    made = board("a", "b")
    assert (take(made, 0), take(made, 1)) == ("a", "b")
    made.worker_died(0, "ActorDiedError: gone")
    made.end("b", {"state": "finished"})
    again = got(made, 1)
    assert again is not None
    assert (again["digest"], again["hand_out"]) == ("a", 2)
    assert got(made, 0) is None, "the slot that comes back later has nothing of it"


def test_a_job_that_kills_every_worker_fails_with_the_reason_and_the_slot_goes_on() -> None:
    made = board("a", "b", hand_outs=2)
    for _ in range(2):
        assert take(made, 0) == "a"
        made.worker_died(0, "WorkerHealthCheckFailedError: worker process has died, low on memory")
    assert take(made, 0) == "b"
    _, _, outcome = made.follow("a", 0)
    assert outcome is not None
    assert outcome["state"] == "out_of_memory"
    assert "started 2 times" in outcome["error"]


@pytest.mark.parametrize("sticky", [False, True])
def test_a_first_job_that_kills_every_worker_does_not_take_its_slot_with_it(sticky: bool) -> None:
    made = board("a", "b", hand_outs=2, sticky=sticky)
    kill_with(made, 0, "a", times=2)
    assert made.slot_down(0, "ActorDiedError: gone"), "the only slot is started again"
    assert take(made, 0) == "b"


def test_a_slot_on_which_job_after_job_is_given_up_is_left_alone_and_the_others_go_on() -> None:
    made = board(*"abcdef", hand_outs=1)
    assert take(made, 1) == "a"
    for number, digest in enumerate("bcd", start=1):
        kill_with(made, 0, digest, times=1)
        assert made.slot_down(0, "ActorDiedError: gone") == (number < MOST_SPOILT)
    made.end("a", {"state": "finished"})
    assert take(made, 1) == "e"


def test_jobs_that_die_on_several_slots_in_turn_leave_every_slot_up() -> None:
    made = board(*"abc", hand_outs=3)
    deaths = 0
    while (digest := take(made, deaths % 2)) is not None:
        made.worker_died(deaths % 2, "ActorDiedError: gone")
        assert made.slot_down(deaths % 2, "ActorDiedError: gone") or made.num_ended == 3, digest
        deaths += 1
    assert deaths == 9


def test_a_slot_whose_workers_never_come_up_is_started_again_only_while_others_get_on() -> None:
    made = board("a", "b")
    assert take(made, 1) == "a"
    assert not made.slot_down(0, "RuntimeError: no worker came up")
    made.end("a", {"state": "finished"})
    assert made.slot_down(0, "RuntimeError: no worker came up")
    assert not made.slot_down(0, "RuntimeError: no worker came up")


def kill_with(made: Board, slot: int, digest: str, times: int) -> None:
    for _ in range(times):
        assert take(made, slot) == digest
        made.worker_died(slot, "ActorDiedError: gone")


def test_a_slot_that_goes_away_leaves_its_job_to_the_others() -> None:
    made = board("a", "b")
    made.slot_up(0, "first")
    assert take(made, 0) == "a"
    assert made.slot_down(0, "RuntimeError: gone")
    assert take(made, 1) == "a"


def test_only_the_first_end_counts_and_submitting_again_changes_nothing() -> None:
    made = board("a")
    take(made, 0)
    made.end("a", {"state": "finished", "result": {"map_avg": 0.5}})
    made.end("a", {"state": "failed"})
    made.submit("a")
    made.report("a", {"loss": 1.0})
    number, reports, outcome = made.follow("a", 0)
    assert (number, reports) == (0, [])
    assert outcome is not None
    assert outcome["state"] == "finished"
    assert got(made, 1) is None


def test_reports_are_followed_one_by_one_and_shown_merged_by_epoch() -> None:
    made = board("a")
    take(made, 0)
    made.events()
    made.report("a", {"epoch": 1, "loss": 0.5})
    made.report("a", {"map_avg": 0.5})
    made.report("a", {"epoch": 2})
    assert made.follow("a", 2)[:2] == (3, [{"epoch": 2}])
    assert made.events() == [
        {"kind": "report", "digest": "a", "values": {"epoch": 1, "loss": 0.5, "map_avg": 0.5}},
        {"kind": "report", "digest": "a", "values": {"epoch": 2}},
    ]
    assert not made.has_events


def test_a_stop_reaches_running_jobs_and_begins_no_other() -> None:
    made = board("a", "b")
    take(made, 0)
    made.stop()
    assert made.should_stop("a") == "interrupted"
    assert got(made, 1) is None
    outcome = made.follow("b", 0)[2]
    assert outcome is not None
    assert outcome["state"] == "planned"
    made.worker_died(0, "ActorDiedError: gone")
    assert got(made, 0) is None, "a worker that died while stopping is not sent back to work"


def test_a_job_that_is_stopped_early_ends_for_good_even_if_the_study_stops_too() -> None:
    made = board("a", "b")
    take(made, 0)
    take(made, 1)
    made.stop_early("a")
    made.stop()
    assert (made.should_stop("a"), made.should_stop("b")) == ("stopped_early", "interrupted")


def test_jobs_that_a_search_adds_come_after_all_others_and_only_once() -> None:
    made = Board({"a": {}}, hand_outs=3, slots=1)
    made.add("b", {"epochs": 5})
    made.add("a", {"epochs": 9})
    for digest in ("b", "a"):
        made.submit(digest)
    job = got(made, 0)
    assert job is not None
    assert (job["digest"], "epochs" in job) == ("a", False)
    made.end("a", {"state": "finished"})
    assert take(made, 0) == "b"


def packed(needs: dict[str, Need], *, cards: tuple[int, ...], slots: int = 4) -> Board:
    packing = Packing([Node(name="a", cpus=64, host_bytes=0, cards=cards)])
    made = Board({key: {} for key in needs}, hand_outs=3, slots=slots, sticky=True, needs=needs, packing=packing)
    for digest in needs:
        made.submit(digest)
    return made


def test_jobs_start_only_where_their_memory_fits_and_are_told_how_much_they_have() -> None:
    needs = {"big": Need(card_bytes=70), "mid": Need(card_bytes=50), "low": Need(card_bytes=30)}
    made = packed(needs, cards=(100,))
    big = got(made, 0)
    assert big is not None
    assert (big["digest"], big["card_bytes"]) == ("big", 70)
    assert take(made, 1) == "low", "mid does not fit beside big, low does"
    assert got(made, 2) is None
    made.end("big", {"state": "finished"})
    assert take(made, 2) == "mid"
    spots = made.spots(2)
    assert spots is not None
    assert [spot.share for spot in spots] == [0.5]


def test_a_dead_workers_job_keeps_its_room_and_a_dead_slots_job_gives_it_back() -> None:
    made = packed({"a": Need(card_bytes=60), "b": Need(card_bytes=60)}, cards=(100,))
    assert take(made, 0) == "a"
    made.worker_died(0, "ActorDiedError: gone")
    assert got(made, 1) is None, "the room is still that of the job which starts again"
    made.slot_down(0, "ActorDiedError: gone")
    assert take(made, 1) == "a"


def test_a_large_job_is_not_overtaken_for_ever() -> None:
    needs = {"first": Need(card_bytes=60), "large": Need(card_bytes=100)}
    needs |= {f"small{number}": Need(card_bytes=30) for number in range(3 * MOST_OVERTAKEN)}
    made = packed(needs, cards=(100,))
    assert take(made, 0) == "first"
    started = []
    while (digest := take(made, 1)) is not None:
        started.append(digest)
        made.end(digest, {"state": "finished"})
    assert len(started) == MOST_OVERTAKEN
    made.end("first", {"state": "finished"})
    assert take(made, 1) == "large"


def test_a_worker_that_was_started_for_a_job_takes_no_other() -> None:
    made = packed({"a": Need(card_bytes=30), "b": Need(card_bytes=60)}, cards=(100,))
    assert made.reserve(0)
    made.end("a", {"state": "failed"})
    assert made.take(0) is None, "Ray gave this worker the part of a card that a needed"
    assert take(made, 1) == "b"


def test_ranks_on_cards_of_different_sizes_may_all_fill_what_the_least_of_them_was_given() -> None:
    nodes = [Node(name=name, cpus=8, host_bytes=0, cards=(size,)) for name, size in (("a", 100), ("b", 80))]
    needs = {"x": Need(card_bytes=70, ranks=2)}
    made = Board({"x": {}}, hand_outs=3, slots=1, sticky=True, needs=needs, packing=Packing(nodes))
    made.submit("x")
    job = got(made, 0)
    assert job is not None
    assert job["card_bytes"] == 70
    spots = made.spots(0)
    assert spots is not None
    assert [(spot.node, spot.share) for spot in spots] == [("a", 0.875), ("b", 0.875)]


def test_a_study_that_grew_has_work_for_slots_that_tune_does_not_know_of() -> None:
    made = Board({name: {} for name in "abcde"}, hand_outs=3, slots=1)
    made.submit("a")
    assert take(made, 0) == "a"
    assert take(made, 1) is None
    made.widen(3)
    assert (take(made, 1), take(made, 2), take(made, 3)) == ("b", "c", None)
    made.end("b", {"state": "finished"})
    assert take(made, 1) == "d"
    made.submit("d")
    made.stop()
    made.end("c", {"state": "finished"})
    assert take(made, 2) is None
    assert made.follow("e", 0)[2] is not None, "what never began is planned"


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["take", "end", "die", "down", "submit"]), st.integers(0, 2)), max_size=60),
    st.booleans(),
)
def test_no_job_is_lost_doubled_or_started_too_often(moves: list[tuple[str, int]], sticky: bool) -> None:
    digests = ["a", "b", "c", "d"]
    made = board(*digests, hand_outs=3, slots=3, sticky=sticky)
    at: dict[int, str] = {}
    started = dict.fromkeys(digests, 0)

    def play(move: str, slot: int) -> None:
        if move == "take":
            job = got(made, slot)
            at.pop(slot, None)
            if job is not None:
                started[job["digest"]] += 1
                assert started[job["digest"]] <= 3
                assert job["digest"] not in at.values(), "two slots run the same job"
                at[slot] = job["digest"]
        elif move == "end" and slot in at:
            made.end(at.pop(slot), {"state": "finished"})
        elif move == "die":
            made.worker_died(slot, "ActorDiedError")
            if not sticky:
                at.pop(slot, None)
        elif move == "down":
            made.slot_down(slot, "ActorDiedError")
            at.pop(slot, None)
        elif move == "submit":
            made.submit(digests[slot])

    for move, slot in moves:
        play(move, slot)
    for _ in range(20):
        for slot in range(3):
            play("take", slot)
            play("end", slot)
    assert made.num_ended == len(digests)
    ends = [event["digest"] for event in made.events() if event["kind"] == "ended"]
    assert sorted(ends) == digests


def test_a_dead_workers_question_is_not_answered_with_a_job() -> None:
    async def play() -> tuple[Any, Any]:
        actor = BoardActor({"a": {}}, hand_outs=3, slots=1)
        dead = asyncio.create_task(actor.take(0, "dead"))
        await asyncio.sleep(0)
        alive = asyncio.create_task(actor.take(0, "alive"))
        await asyncio.sleep(0)
        await actor.call("submit", "a")
        return await asyncio.wait_for(dead, 1), await asyncio.wait_for(alive, 1)

    dead, alive = asyncio.run(play())
    assert dead is None
    assert (alive["digest"], alive["hand_out"]) == ("a", 1)


def test_waiting_ends_when_the_board_closes() -> None:
    async def play() -> list[Any]:
        actor = BoardActor({"a": {}}, hand_outs=3, slots=1)
        waits = [asyncio.create_task(wait) for wait in (actor.take(0, "x"), actor.reserve(1), actor.stopped("a"))]
        await asyncio.sleep(0)
        await actor.close()
        return await asyncio.wait_for(asyncio.gather(*waits), 1)

    assert asyncio.run(play()) == [None, False, "interrupted"]


def test_a_job_whose_machine_is_gone_before_it_starts_is_placed_elsewhere_and_has_lost_no_try() -> None:
    nodes = [Node(name=name, cpus=8, host_bytes=0, cards=(size,)) for name, size in (("a", 100), ("b", 200))]
    needs = {"x": Need(card_bytes=70)}
    made = Board({"x": {}}, hand_outs=1, slots=1, sticky=True, needs=needs, packing=Packing(nodes))
    made.submit("x")
    assert made.reserve(0)
    assert [spot.node for spot in made.spots(0) or ()] == ["a"]
    made.forget_nodes(0, ["a"])
    assert made.spots(0) is None
    job = got(made, 0)
    assert job is not None
    assert job["hand_out"] == 1
    assert [spot.node for spot in made.spots(0) or ()] == ["b"]
