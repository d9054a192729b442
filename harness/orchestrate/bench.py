"""`tadscale bench schedule`: 1,000 trials on 64 cards through the real board and packing, on a clock that is not real.

Every hand-out, end and overtaking is the one that a study would see; only the trials are numbers, so that the result
does not depend on this machine. Reported beside each other: cards of their own in the order given, longest first, and
cards shared by memory (as if trials on one card did not slow each other, which they do).
"""

import argparse
import heapq
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from harness.orchestrate.board import Board
from harness.orchestrate.packing import Need, Node, Packing
from harness.units import GIB, format_bytes, format_seconds

BUSY_LIMIT = 0.95
DRIVER_LIMIT = GIB
CARDS_PER_NODE = 8
CARD = 79 * GIB
REPORTS = 60
"""Reports of each trial, as of 60 epochs."""


@dataclass(frozen=True)
class Load:
    """One trial of the simulation."""

    seconds: float
    card_bytes: int


@dataclass(frozen=True)
class Schedule:
    """What became of them."""

    makespan_s: float
    busy: float
    """Share of card time in which the card had at least one trial."""
    wall_s: float
    """Real time that board and packing took."""


def simulate(loads: Mapping[str, Load], num_cards: int, *, exclusive: bool, slots: int) -> Schedule:
    """Run trials through a board, each as long as it says."""
    nodes = [
        Node(name=f"node{number}", cpus=10_000, host_bytes=0, cards=(CARD,) * min(CARDS_PER_NODE, left))
        for number, left in enumerate(range(num_cards, 0, -CARDS_PER_NODE))
    ]
    needs = {name: Need(cpus=1, card_bytes=load.card_bytes, exclusive=exclusive) for name, load in loads.items()}
    began = time.perf_counter()
    board = Board({name: {} for name in loads}, hand_outs=3, slots=slots, needs=needs, packing=Packing(nodes))
    for name in loads:
        board.submit(name)
    spans = list(_played(board, loads, slots))
    makespan = max(end for _, _, end in spans)
    return Schedule(makespan, _busy(spans) / (num_cards * makespan), time.perf_counter() - began)


def _played(board: Board, loads: Mapping[str, Load], slots: int) -> Iterator[tuple[str, float, float]]:
    """Yield the card, start and end of every trial."""
    now, ends, idle = 0.0, [], list(range(slots))
    while True:
        idle = [slot for slot in idle if not _start(board, slot, now, loads, ends)]
        if not ends:
            return
        now, slot, name, card, started = heapq.heappop(ends)
        for number in range(REPORTS):
            board.report(name, {"epoch": number + 1, "epochs": REPORTS, "loss": 1.0})
        board.end(name, {"state": "finished"})
        board.events()
        idle.append(slot)
        yield card, started, now


def _start(
    board: Board, slot: int, now: float, loads: Mapping[str, Load], ends: list[tuple[float, int, str, str, float]]
) -> bool:
    job = board.take(slot)
    spots = board.spots(slot)
    if job is None or spots is None:
        return False
    name, (spot,) = job["digest"], spots
    heapq.heappush(ends, (now + loads[name].seconds, slot, name, f"{spot.node}/{spot.cards[0]}", now))
    return True


def _busy(spans: Sequence[tuple[str, float, float]]) -> float:
    """Return the seconds in which cards had at least one trial, summed over cards."""
    total, until = 0.0, dict[str, float]()
    for card, start, end in sorted(spans, key=lambda span: span[1]):
        total += max(0.0, end - max(start, until.get(card, 0.0)))
        until[card] = max(end, until.get(card, 0.0))
    return total


def trials(number: int, seed: int) -> dict[str, Load]:
    """Return trials of 10 minutes to some hours that need 4 to 70 GiB, as a study over frames and backbones has."""
    random = np.random.default_rng(seed)
    seconds = np.clip(random.lognormal(np.log(3600), 0.7, number), 600, 6 * 3600)
    needs = np.clip(random.lognormal(np.log(14), 0.8, number), 4, 70)
    return {f"trial{i}": Load(float(seconds[i]), int(needs[i] * GIB)) for i in range(number)}


def main(argv: Sequence[str]) -> int:
    """Simulate, print, and return 1 when cards idled or the driver grew."""
    parser = argparse.ArgumentParser(prog="tadscale bench schedule", description=__doc__)
    parser.add_argument("--cards", type=int, default=64)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    loads = trials(given.trials, given.seed)
    longest = dict(sorted(loads.items(), key=lambda item: -item[1].seconds))
    print(f"{given.trials} simulated trials on {given.cards} cards of {format_bytes(CARD)}")
    ways = {
        "a card each, in the order given": (loads, True, given.cards),
        "a card each, longest first": (longest, True, given.cards),
        "cards shared by memory, longest first": (longest, False, 4 * given.cards),
    }
    found = {
        name: simulate(these, given.cards, exclusive=own, slots=slots) for name, (these, own, slots) in ways.items()
    }
    first = next(iter(found.values()))
    for name, result in found.items():
        print(
            f"{name:<40} {100 * result.busy:5.1f} % of card time busy, {format_seconds(result.makespan_s)} in all "
            f"({first.makespan_s / result.makespan_s:.2f} x), {result.wall_s:.2f} s of scheduling"
        )
    driver = psutil.Process().memory_info().rss
    print(f"this process: {format_bytes(driver)}")
    kept = found["a card each, longest first"].busy >= BUSY_LIMIT and driver <= DRIVER_LIMIT
    print(f"{'kept' if kept else 'MISSED'}: {100 * BUSY_LIMIT:.0f} % busy, below {format_bytes(DRIVER_LIMIT)}")
    return 0 if kept else 1
