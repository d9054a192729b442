"""`--search` and its companions: what a study declares, what the command line changes, and what is refused."""

from dataclasses import replace

import pytest

from harness.cli.options import UserError, read_options
from harness.study import Fidelity, Range, Search
from studies.scale_frames import STUDY

LR = Search(method="optuna", samples=9, ranges={"training.adapter_lr": Range(low=5e-5, high=5e-4)})


def search(*argv: str, own: Search = Search()) -> Search:  # noqa: B008 - a value
    return read_options(replace(STUDY, search=own), argv).search


def test_a_study_is_a_grid_unless_it_or_the_command_line_says_otherwise() -> None:
    assert search() == Search()
    assert search(own=LR) == LR
    assert search("--search", "grid", own=LR) == replace(LR, method="grid")
    assert search("--samples", "30", "--scheduler", "asha", own=LR) == replace(LR, samples=30, scheduler="asha")
    found = search("--search", "optuna", "--objective", "map_avg,peak_bytes")
    assert found == Search(method="optuna", objectives=("map_avg", "peak_bytes"))


@pytest.mark.parametrize(
    ("argv", "metric", "every"),
    [
        ((), "map", 0),
        (("--validate-every", "3"), "map", 3),
        (("--scheduler", "asha"), "map", 1),
        (("--scheduler", "median", "--validate-every", "2"), "map", 2),
        (("--scheduler", "asha", "--scheduler-metric", "loss"), "loss", 0),
        (("--scheduler", "asha", "--scheduler-metric", "loss", "--validate-every", "4"), "loss", 4),
    ],
)
def test_a_scheduler_compares_map_and_has_it_measured_unless_told_otherwise(
    argv: tuple[str, ...], metric: str, every: int
) -> None:
    options = read_options(STUDY, argv)
    assert (options.search.scheduler_metric, options.validate_every) == (metric, every)


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--scheduler-metric", "map"], "--scheduler-metric is map, but nobody ends trials early"),
        (["--validate-every", "0"], "0 is not a whole number above 0"),
        (["--samples", "5"], "--samples is given, but --search is grid"),
        (["--objective", "map_avg"], "--objective is given, but --search is grid"),
        (["--search", "optuna", "--seeds", "3"], "--seeds is 3, but a search runs each point once"),
        (["--search", "optuna", "--objective", "speed"], "speed is not map_avg or peak_bytes"),
        (["--search", "optuna", "--objective", "map_avg,map_avg"], "is not map_avg or peak_bytes"),
        (["--search", "hyperband"], "hyperband"),
        (["--search", "optuna", "--samples", "0"], "0 is not a whole number above 0"),
    ],
)
def test_an_option_that_would_be_ignored_or_makes_no_sense_is_refused(argv: list[str], names: str) -> None:
    with pytest.raises(UserError, match=names):
        search(*argv)


def test_a_ladder_is_read_and_kept_with_the_search() -> None:
    assert search("--fidelity", "data.window.frames=64,128").fidelity == Fidelity(
        path="data.window.frames", values=(64, 128)
    )
    found = search("--search", "optuna", "--fidelity", "training.epochs=3,12", "--eta", "4")
    assert (found.method, found.fidelity) == ("optuna", Fidelity(path="training.epochs", values=(3, 12), eta=4))


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--fidelity", "data.window.frames"], "is not PATH=V,V"),
        (["--fidelity", "data.window.frames=64"], "expected at least two rising values"),
        (["--fidelity", "data.window.frames=64,lots"], "lots is not a number"),
        (["--fidelity", "training.epochs=3,12", "--eta", "1"], "eta is 1, expected at least 2"),
        (["--eta", "2"], "--eta is 2, but there is no ladder"),
        (["--fidelity", "training.epochs=3,12", "--seeds", "2"], "--fidelity runs each point once"),
        (["--fidelity", "training.epochs=3,12", "--set", "training.epochs=4"], "with --fidelity and with --set"),
        (["--fidelity", "training.epochs=3,12", "--scheduler", "asha"], "which both end trials that lag behind"),
        (
            ["--search", "optuna", "--fidelity", "training.epochs=3,12", "--objective", "map_avg,peak_bytes"],
            "points climb by mAP alone",
        ),
    ],
)
def test_a_ladder_that_makes_no_sense_is_refused(argv: list[str], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        search(*argv)
