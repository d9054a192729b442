"""A check of a folder says what is there, what is wrong, which of it matters, and ends with the right code."""

import json
import shutil
from pathlib import Path

import pytest

from harness.cli.tadscale import main
from harness.data.checks import FolderCheck, check_folder
from harness.data.datasets import dataset_of

SPEC = dataset_of("custom")


def check(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["check", *words])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def edit(root: Path, **changes: object) -> None:
    """Change entries of the annotations; a list becomes a video's annotations."""
    path = root / "annotations.json"
    database = json.loads(path.read_text())["database"]
    for video_id, change in changes.items():
        database[video_id] |= change if isinstance(change, dict) else {"annotations": change}
    path.write_text(json.dumps({"database": database}))


def action(start: float, end: float, label: str = "wave") -> dict:
    return {"segment": [start, end], "label": label}


def weights(found: FolderCheck) -> dict[str, tuple[str, int]]:
    return {finding.kind: (finding.weight, finding.count) for finding in found.findings}


def test_a_sound_folder_has_nothing_to_say(make_folder, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_folder()
    found = check_folder(root, SPEC)
    assert (found.problem, found.findings) == ("", ())
    (source,) = found.sources
    assert {name: (c.videos, c.actions, c.by_class) for name, c in source.subsets.items()} == {
        "training": (4, 8, {"jump": 4, "wave": 4}),
        "validation": (2, 4, {"jump": 2, "wave": 2}),
    }
    assert found.videos is not None
    assert found.videos.num_files == 6
    assert check("--on", "custom", "--data-root", str(root)) == 0
    assert "a study can run on it" in capsys.readouterr().out


def test_every_flaw_is_found_and_weighed(make_folder) -> None:
    root = make_folder()
    edit(
        root,
        train_a=[action(1, 1), action(0.5, 1), action(0.5, 1), action(-1, 1), action("0.1", 2), action(9, 10)],
        train_b={"duration": 9.0, "annotations": [action(1, 1.5), action(7, 8)]},
        train_c={"fps": 30},
        test_a=[action(0.1, 0.9, "Ambiguous"), action(0.5, 1, "jump")],
        train_d={"duration": 0, "annotations": [action(0, 1, "wave")]},
    )
    (root / "videos" / "test_b.mp4").write_bytes(b"")
    shutil.copy(root / "videos" / "train_a.mp4", root / "videos" / "other.mp4")
    found = check_folder(root, SPEC)
    assert not found.problem
    assert weights(found) == {
        "end not after start": ("matters", 1),
        # Of the annotated duration of 4 s; the file of train_b is 1.2 s long, its annotations say 9 s.
        "start past the video's end": ("matters", 1),
        "duration that differs from the file's": ("matters", 1),
        "action that starts past the file's end": ("matters", 1),
        "action that ends past the file's end": ("matters", 1),
        "validation video that cannot be read": ("matters", 1),
        "frame rate that differs from the file's": ("harmless", 1),
        "exact duplicate": ("harmless", 1),
        "start before 0": ("harmless", 1),
        "time written as text": ("harmless", 1),
        "label Ambiguous": ("harmless", 1),
        "duration unknown": ("harmless", 1),
        "video file without annotations": ("harmless", 1),
    }
    assert [finding.weight for finding in found.findings] == ["matters"] * 6 + ["harmless"] * 7
    assert check("--on", "custom", "--data-root", str(root)) == 1


def test_a_stranger_among_the_labels_stops_a_study(make_folder, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_folder()
    (root / "classes.txt").write_text("wave\njump\n")
    edit(root, train_a=[action(0.5, 1, "hop")])
    assert check("--on", "custom", "--data-root", str(root)) == 2
    said = capsys.readouterr()
    assert "train_a 0.5-1 s hop" in " ".join(said.out.split())
    assert said.err.startswith(f"error: a study on custom would refuse {root}: 1 x label outside the class list")
    assert said.err.count("\n") == 1


def test_lost_videos_stop_a_study_where_they_are_too_many(make_folder) -> None:
    root = make_folder()
    (root / "videos" / "train_a.mp4").unlink()
    found = check_folder(root, SPEC)
    assert weights(found) == {"training video without a file": ("matters", 1)}
    assert found.videos is not None
    assert [(c.annotated, c.found, c.missing) for c in found.videos.subsets.values()] == [(4, 3, 1), (2, 2, 0)]
    (root / "videos" / "train_b.mp4").unlink()
    (root / "videos" / "train_c.mp4").write_bytes(b"not a video" * 99)
    found = check_folder(root, SPEC)
    assert weights(found)["training video without a file"] == ("stops", 2)
    assert "3 of 4 are lost, more than data.max_unreadable allows (0.5)" in found.problem


def test_two_files_of_one_video_stop_a_study(make_folder) -> None:
    root = make_folder()
    shutil.copy(root / "videos" / "train_a.mp4", root / "train_a.mkv")
    assert "video with several files" in check_folder(root, SPEC).problem


def test_classes_that_only_the_test_subset_has_matter(make_folder) -> None:
    root = make_folder()
    (root / "classes.txt").write_text("wave\njump\nhop\nskip\n")
    edit(root, test_a=[action(0.1, 0.9, "hop")])
    assert weights(check_folder(root, SPEC)) == {
        "class of validation that training lacks": ("matters", 1),
        "class without an action": ("harmless", 1),
    }


def test_another_number_of_classes_than_published_matters(make_folder) -> None:
    found = weights(check_folder(make_folder(), dataset_of("charades")))
    assert found["class list of another length"] == ("matters", 2)


def test_annotations_are_checked_without_videos(make_folder, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_folder()
    shutil.rmtree(root / "videos")
    assert check("--on", "custom", "--data-root", str(root)) == 0
    assert "there are no video files in" in capsys.readouterr().out
    assert check("--on", "custom", "--annotations", str(root / "annotations.json"), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["usable"], found["matters"], found["videos"]) == (True, False, None)
    assert found["sources"][0]["subsets"]["training"]["actions"] == 8


def test_blocked_videos_are_not_looked_for(make_folder) -> None:
    root = make_folder()
    (root / "missing_files.txt").write_text("train_a\n\nv_train_b\n")
    found = check_folder(root, dataset_of("activitynet"))
    assert found.blocked == 2
    assert found.videos is not None
    assert found.videos.subsets["training"].annotated == 2
    assert "video file without annotations" not in weights(found)


@pytest.mark.parametrize(
    ("name", "folder", "counts"),
    [
        ("thumos14", "thumos14/annotation_val", {"validation": (200, 3007, 20, 89)}),
        ("thumos14", "thumos14/annotation_test", {"test": (213, 3358, 20, 99)}),
        ("epic-verb", "epic100/c2_training.csv.gz", {"training": (495, 67217, 97, 0)}),
        ("epic-noun", "epic100/c2_validation.csv.gz", {"validation": (138, 9668, 211, 0)}),
        (
            "anet",
            "activitynet13/derived_activitynet13_schema.json.gz",
            {"training": (10024, 15410, 200, 0), "validation": (4926, 7654, 200, 0), "testing": (5044, 0, 0, 0)},
        ),
    ],
)
def test_the_command_counts_published_annotations(
    shared_data: Path, capsys: pytest.CaptureFixture[str], name: str, folder: str, counts: dict
) -> None:
    check("--on", name, "--annotations", str(shared_data / "annotations" / folder), "--json")
    (source,) = json.loads(capsys.readouterr().out)["sources"]
    found = {n: (c["videos"], c["actions"], c["classes"], c["unscored"]) for n, c in source["subsets"].items()}
    assert found == counts


def test_several_sets_of_annotations_are_all_counted_and_one_is_asked_for(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check("--on", "thumos14", "--data-root", str(shared_data / "annotations" / "thumos14"), "--quiet") == 2
    said = capsys.readouterr()
    assert {"3,007", "3,311", "3,358"} <= set(said.out.split())
    assert "expected one, or annotations.json" in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "check needs --weights FILE, or --on NAME with --data-root DIR"),
        (("--on", "custom"), "check --on custom needs --data-root DIR or --annotations PATH"),
        (("--on", "ucf", "--data-root", "."), "there is no data set ucf, expected one of"),
        (("--on", "custom", "--data-root", "nowhere"), "there is no folder nowhere"),
        (("--on", "custom", "--weights", "x", "--data-root", "."), "--weights and --on are two checks"),
        (("--on", "custom", "--annotations", "nothing.json"), "there is no annotation file nothing.json"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(*words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
