"""The simulated schedule against the bounds that any schedule has."""

import subprocess
import sys

import pytest

from harness.orchestrate.bench import CARD, Load, simulate, trials


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_longest_first_is_within_grahams_bound_and_keeps_cards_busy(seed: int) -> None:
    loads, cards = trials(150, seed), 12
    longest = dict(sorted(loads.items(), key=lambda item: -item[1].seconds))
    found = simulate(longest, cards, exclusive=True, slots=cards)
    total = sum(load.seconds for load in loads.values())
    least = max(total / cards, max(load.seconds for load in loads.values()))
    assert least <= found.makespan_s <= (4 / 3 - 1 / (3 * cards)) * least + 1e-6
    assert found.busy == pytest.approx(total / (cards * found.makespan_s))


def test_sharing_cards_is_never_slower_than_a_card_each() -> None:
    loads = trials(60, 0)
    own = simulate(loads, 8, exclusive=True, slots=8)
    shared = simulate(loads, 8, exclusive=False, slots=32)
    assert shared.makespan_s <= own.makespan_s


def test_what_fills_a_card_runs_alone() -> None:
    loads = {name: Load(10.0, CARD) for name in "abcd"}
    assert simulate(loads, 2, exclusive=False, slots=8).makespan_s == 20.0


def test_the_benchmark_says_whether_its_limits_were_kept() -> None:
    # In a process of its own: it measures its memory, and this one holds whatever other tests have loaded.
    program = "import sys; from harness.orchestrate.bench import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "--cards", "8", "--trials", "200"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "kept: 95 % busy" in found.stdout
