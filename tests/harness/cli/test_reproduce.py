"""`tadscale reproduce`: which studies run where, trials that others ran, one page; and `tadscale errors` beside it."""

import json
from pathlib import Path

import pytest

from harness.cli import reproduction
from harness.cli.commands import reproduce
from harness.cli.options import read_options
from harness.cli.plan import make_plan
from harness.cli.tadscale import main
from harness.cli.terminal import Terminal
from harness.config import flatten
from harness.data.annotations import Action
from harness.data.index import Dataset, Video, save_index
from harness.data.video_info import VideoInfo
from harness.detection import write_detections
from harness.tables import latest, load, write_row
from studies.all import STUDIES


def study_of(name: str):
    return next(study for study in STUDIES if study.name == name)


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return end.value.code


@pytest.fixture
def calls(monkeypatch):
    """Return the command lines of the studies, none of which runs."""
    made: list[list[str]] = []

    def call(line):
        made.append(line[2:])
        return 1 if "studies.scale_kernel" in line else 0

    monkeypatch.setattr(reproduce, "call", call)
    return made


def finish(results: Path, name: str, number: int, score: float = 0.4) -> list[str]:
    """Write rows of a study's first tiny trials, and detections as a trial leaves them; return their digests."""
    study = study_of(name)
    options = read_options(study, ["--results", str(results)])
    plan = make_plan(study, options, Terminal(json=False, quiet=True), prepare=False)
    for trial in plan.trials[:number]:
        row = {
            "study": name,
            "trial": plan.name(trial),
            "digest": trial.digest,
            "attempt": 1,
            "state": "finished",
            "map_avg": score,
            "map_at": {"0.5": score},
            "peak_bytes": 2**24,
            **flatten(trial.config),
        }
        write_row(plan.folder, row)
        work = plan.folder / "work" / trial.digest
        work.mkdir(parents=True)
        write_detections(work / "detections.json", {"v": [(1.0, 2.0, "up", 0.9)]})
    return [trial.digest for trial in plan.trials[:number]]


def test_errors_are_analysed_after_their_study_and_stand_on_the_page(calls, errors):
    results = errors.parent
    assert command("reproduce", "--results", str(results), "--only", "analyse_errors") == 0
    assert (
        "| share of the best 1G | localisation | 0.0 ± 0.0 | 80.0 ± 0.0 |" in (results / "reproduction.md").read_text()
    )
    assert (errors / "plots" / "adapter" / "sensitivity.png").is_file()


def test_errors_that_cannot_be_analysed_stop_no_other_study(calls, tmp_path, capsys):
    assert command("reproduce", "--results", str(tmp_path), "--only", "analyse_errors", "compare_heads") == 0
    assert len(calls) == 2
    assert "the errors of analyse_errors were not analysed" in capsys.readouterr().err


def test_every_study_runs_with_the_options_it_is_given_and_one_failure_stops_no_other(calls, tmp_path):
    assert command("reproduce", "--results", str(tmp_path), "--seeds", "2", "--set", "training.epochs=3") == 1
    assert [line[0] for line in calls] == [f"studies.{study.name}" for study in STUDIES]
    assert all(line[1:] == calls[0][1:] for line in calls)
    assert calls[0][1:] == [
        *("--preset", "tiny", "--results", str(tmp_path), "--seeds", "2", "--set", "training.epochs=3"),
    ]
    assert (tmp_path / "reproduction.md").is_file()


def test_a_study_without_the_preset_is_left_out_and_named(calls, tmp_path, capsys):
    options = ["--preset", "quick", "--results", str(tmp_path), "--only", "scale_frames", "compare_heads"]
    assert command("reproduce", *options) == 0
    assert [line[0] for line in calls] == ["studies.scale_frames"]
    assert "compare_heads has no preset quick and is left out" in capsys.readouterr().err


def test_a_study_that_is_stopped_stops_the_rest(calls, monkeypatch, tmp_path):
    def stopped(line):
        calls.append(line[2:])
        return 130

    monkeypatch.setattr(reproduce, "call", stopped)
    assert command("reproduce", "--results", str(tmp_path), "--fresh") == 130
    assert len(calls) == 1
    assert not (tmp_path / "reproduction.md").exists()


def test_real_data_sets_are_those_of_the_tables_and_missing_ones_are_left_out(calls, tmp_path, capsys):
    (tmp_path / "thumos14").mkdir()
    (tmp_path / "activitynet").mkdir()
    options = ["--preset", "paper", "--data-root", str(tmp_path), "--results", str(tmp_path / "out")]
    assert command("reproduce", *options, "--only", "scale_backbone", "epic_kitchens") == 0
    assert [(line[0], line[2], line[line.index("--on") + 1]) for line in calls] == [
        ("studies.scale_backbone", "paper", "thumos14"),
        ("studies.scale_backbone", "activitynet", "activitynet"),
    ]
    assert "epic_kitchens on epic_verb is left out" in capsys.readouterr().err
    calls.clear()
    assert command("reproduce", "--preset", "paper", "--dry-run", "--device", "h100-80gb") == 1
    assert {line[line.index("--on") + 1] for line in calls} == {
        *("thumos14", "activitynet", "epic_verb", "epic_noun", "ego4d"),
    }
    assert all("--dry-run" in line and "--data-root" not in line for line in calls)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--only", "scale_nothing"), "--only is scale_nothing, expected some of"),
        (("--preset", "huge"), "--preset is huge, expected one that analyse_errors, compare_tuning"),
        (("--preset", "paper"), "needs --data-root DIR"),
    ],
)
def test_mistakes_are_one_sentence(calls, capsys, words, complaint):
    assert command("reproduce", *words) == 2
    assert complaint in capsys.readouterr().err
    assert calls == []


def test_a_trial_that_another_study_ran_is_taken_over_with_its_detections(tmp_path):
    finish(tmp_path, "compare_placement", 24)
    kernel = study_of("scale_kernel")
    options = read_options(kernel, ["--results", str(tmp_path)])
    # Both have TIA with kernel 3 in three seeds, and nothing else in common.
    assert reproduction.adopt(kernel, options) == 3
    assert reproduction.adopt(kernel, options) == 0
    rows = latest(load(tmp_path / "scale_kernel")).to_pylist()
    assert {(row["study"], row["seed"], row["model.adapter.kernel"]) for row in rows} == {
        ("scale_kernel", seed, 3) for seed in range(3)
    }
    assert dict(rows[0]["map_at"]) == {"0.5": 0.4}
    assert all((tmp_path / "scale_kernel/work" / row["digest"] / "detections.json").is_file() for row in rows)
    plan = make_plan(kernel, options, Terminal(json=False, quiet=True), prepare=False)
    assert len(plan.missing(plan.rows())) == 15


def test_the_page_has_conclusions_and_tables_of_what_was_run(tmp_path):
    finish(tmp_path, "scale_kernel", 18)
    text = reproduction.write_reproduction(STUDIES, tmp_path).read_text()
    assert "| Longer kernels do not help |" in text
    assert "yes, level" in text
    assert "Kernel of the adapters' convolution (paper Table 13)" in text
    assert "18 trials: 18 finished" in text
    assert "Detection heads" not in text
    assert (tmp_path / "scale_kernel/tables/paper-table-13-thumos14.tex").is_file()


def save_truth(folder: Path) -> list[Action]:
    """Write the index that the trials of a study read: one video with ten actions; return them."""
    starts = range(0, 100, 10)
    actions = [Action(start_s=s, end_s=s + 4.0, label="up" if s % 20 else "down") for s in map(float, starts)]
    info = VideoInfo(num_frames=2750, fps=25.0, duration_s=110.0, width=64, height=64)
    video = Video(video_id="v", path=Path("v.mp4"), subset="validation", info=info, actions=tuple(actions))
    dataset = Dataset(
        name="synthetic", classes=("down", "up"), videos=(video,), quarantined=(), repairs={}, fingerprint="0" * 64
    )
    save_index(dataset, folder / "dataset-0000000000000000.json")
    return actions


@pytest.fixture
def errors(tmp_path):
    """Return a study's folder in which AdaTAD finds every action and features find them all two seconds late."""
    digests = finish(tmp_path, "analyse_errors", 6)
    folder = tmp_path / "analyse_errors"
    actions = save_truth(folder)
    tunings = {row["digest"]: row["model.tuning"] for row in latest(load(folder)).to_pylist()}
    for digest in digests:
        late = 0.0 if tunings[digest] == "adapter" else 2.0
        found = [(action.start_s + late, action.end_s + late, action.label, 0.9) for action in actions]
        write_detections(folder / "work" / digest / "detections.json", {"v": found})
    return folder


def test_errors_of_the_arms_stand_side_by_side(errors, capsys, tmp_path):
    assert command("errors", str(errors), "--plot", str(tmp_path / "plots"), "--videos", "1") == 0
    text = capsys.readouterr().out
    assert "| what | of | adapter % | features % |" in text
    # Two seconds of six overlap: enough for the threshold 0.3 of five, and no background at the others.
    assert "| share of the best 1G | true positive | 100.0 ± 0.0 | 20.0 ± 0.0 |" in text
    assert "| share of the best 1G | localisation | 0.0 ± 0.0 | 80.0 ± 0.0 |" in text
    assert (errors / "tables" / "errors.tex").is_file()
    for arm in ("adapter", "features"):
        names = {path.name for path in (tmp_path / "plots" / arm).glob("*.png")}
        assert names == {"false_positives.png", "sensitivity.png", "false_negatives.png", "video_v.png"}


def test_errors_for_programs_and_mistakes(errors, capsys, tmp_path):
    assert command("errors", str(errors), "--json") == 0
    arms = json.loads(capsys.readouterr().out)["arms"]
    assert {name: set(seeds) for name, seeds in arms.items()} == {name: {"0", "1", "2"} for name in arms}
    assert command("errors", str(errors), "--by", "model.nothing") == 2
    assert "--by is model.nothing" in capsys.readouterr().err
    next((errors / "work").glob("*/detections.json")).unlink()
    assert command("errors", str(errors)) == 2
    assert "expected the detections of a finished trial on this machine" in capsys.readouterr().err
    assert command("errors", str(tmp_path / "nothing")) == 2
