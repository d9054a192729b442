"""From a folder to a data set: what is found, set aside, refused, remembered."""

import json
import os
import shutil
from pathlib import Path

import pytest

from harness.data import index
from harness.data.annotations import Action
from harness.data.index import load_index, prepare_dataset, save_index


def annotations_of(root: Path) -> dict:
    return json.loads((root / "annotations.json").read_text())["database"]


def annotate(root: Path, database: dict) -> None:
    (root / "annotations.json").write_text(json.dumps({"database": database}))


def test_a_folder_becomes_a_data_set(make_folder, tmp_path: Path) -> None:
    root = make_folder()
    seen: list[tuple[int, int]] = []
    data = prepare_dataset("custom", root, tmp_path / "cache", lambda *done: seen.append(done))
    assert data.classes == ("jump", "wave")
    assert [video.video_id for video in data.subset("training")] == ["train_a", "train_b", "train_c", "train_d"]
    assert [video.video_id for video in data.subset("validation")] == ["test_a", "test_b"]
    first = data.videos[0]
    assert first.path.is_absolute()
    assert first.path.is_file()
    assert (first.info.num_frames, first.info.fps) == (100, 25.0)
    assert first.actions[0] == Action(start_s=0.4, end_s=1.6, label="wave")
    assert not data.quarantined
    assert not data.repairs
    assert seen[-1] == (6, 6)


def test_second_opening_probes_nothing_and_gives_the_same(make_folder, tmp_path: Path, monkeypatch) -> None:
    root = make_folder()
    first = prepare_dataset("custom", root, tmp_path / "cache")
    monkeypatch.setattr(index, "probe_videos", None)
    assert prepare_dataset("custom", root, tmp_path / "cache") == first


def test_a_damaged_index_is_made_anew(make_folder, tmp_path: Path) -> None:
    root = make_folder()
    first = prepare_dataset("custom", root, tmp_path / "cache")
    (index,) = (tmp_path / "cache").iterdir()
    for damage in (b"", b'{"version": 1}'):
        index.write_bytes(damage)
        assert prepare_dataset("custom", root, tmp_path / "cache") == first
        assert load_index(index) == first


def test_index_round_trips(make_folder, make_video, tmp_path: Path) -> None:
    root = make_folder(missing={"subset": "training", "duration": 3, "annotations": []})
    make_video(root / "train_vfr.mp4", 30, pts=[30 * i * (1 + i // 10) for i in range(30)])
    database = annotations_of(root)
    database["train_vfr"] = {"subset": "training", "annotations": [{"segment": [0.1, 0.5], "label": "jump"}]}
    annotate(root, database)
    data = prepare_dataset("custom", root, tmp_path / "cache")
    assert data.videos[-1].info.timestamps_s is not None
    assert data.repairs == {"duration unknown": 1}
    save_index(data, tmp_path / "index.json")
    assert load_index(tmp_path / "index.json") == data
    with pytest.raises(ValueError, match="there is no data set index"):
        load_index(tmp_path / "other.json")


def test_fingerprint_is_of_the_content_and_not_of_place_or_time(make_folder, tmp_path: Path) -> None:
    root = make_folder()
    before = prepare_dataset("custom", root, tmp_path / "cache")
    other = tmp_path / "elsewhere"
    shutil.copytree(root, other)
    (other / "videos").rename(other / "films")
    os.utime(other / "films" / "train_a.mp4", (1, 1))
    moved = prepare_dataset("custom", other, tmp_path / "cache")
    assert moved.fingerprint == before.fingerprint
    assert moved.videos[0].path == other / "films" / "train_a.mp4"


@pytest.mark.parametrize("change", ["video", "segment", "class", "gone"])
def test_fingerprint_notices_edits(make_folder, tmp_path: Path, change: str) -> None:
    root = make_folder()
    before = prepare_dataset("custom", root, tmp_path / "cache").fingerprint
    if change == "video":
        shutil.copy(root / "videos" / "train_b.mp4", root / "videos" / "train_a.mp4")
    elif change == "gone":
        (root / "videos" / "train_a.mp4").unlink()
    elif change == "class":
        (root / "classes.txt").write_text("wave\njump\n")
    else:
        database = annotations_of(root)
        database["train_a"]["annotations"][0]["segment"][0] += 0.01
        annotate(root, database)
    assert prepare_dataset("custom", root, tmp_path / "cache").fingerprint != before


def test_unusable_videos_are_set_aside_with_their_reasons(make_folder, tmp_path: Path) -> None:
    root = make_folder(absent={"subset": "training", "duration": 3, "annotations": []})
    (root / "videos" / "train_a.mp4").write_bytes(b"")
    (root / "videos" / "test_b.mp4").write_bytes(b"no video " * 99)
    data = prepare_dataset("custom", root, tmp_path / "cache")
    assert {(q.video_id, q.subset, q.reason) for q in data.quarantined} == {
        ("train_a", "training", "is empty"),
        ("test_b", "validation", "cannot be opened: damaged, or not a video"),
        ("absent", "training", "no file found"),
    }
    assert len(data.videos) == 4


def test_too_many_unusable_videos_are_an_error_that_names_them(make_folder, tmp_path: Path) -> None:
    root = make_folder()
    (root / "videos" / "test_b.mp4").write_bytes(b"")
    prepare_dataset("custom", root, tmp_path / "cache", max_unreadable=0.5)
    with pytest.raises(ValueError, match=r"1 of 2 videos of subset 'validation'.*share of 0\.4 \(test_b: is empty\)"):
        prepare_dataset("custom", root, tmp_path / "cache", max_unreadable=0.4)
    (root / "videos" / "test_a.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="2 of 2 videos"):
        prepare_dataset("custom", root, tmp_path / "cache", max_unreadable=1.0)


def test_actions_past_the_file_are_cut_to_the_file(make_folder, tmp_path: Path) -> None:
    root = make_folder()
    database = annotations_of(root)
    database["train_b"].update(
        duration=9.0,
        annotations=[{"segment": [1.0, 1.25], "label": "wave"}, {"segment": [7, 8], "label": "jump"}],
    )
    annotate(root, database)
    data = prepare_dataset("custom", root, tmp_path / "cache")
    assert data.videos[1].actions == (Action(start_s=1.0, end_s=1.2, label="wave"),)
    assert data.repairs == {"start past the video's end": 1}


def test_files_of_activitynet_may_start_with_v(make_folder, make_video, tmp_path: Path) -> None:
    root = make_folder()
    (root / "videos" / "train_a.mp4").rename(root / "videos" / "v_train_a.MKV")
    database = {("v_" if key == "test_b" else "") + key: value for key, value in annotations_of(root).items()}
    annotate(root, database)
    data = prepare_dataset("custom", root, tmp_path / "cache")
    assert not data.quarantined
    assert data.videos[0].path.name == "v_train_a.MKV"
    assert data.videos[-1].path.name == "test_b.mp4"


def test_an_exact_name_goes_before_one_with_v(make_folder, make_video, tmp_path: Path) -> None:
    root = make_folder()
    make_video(root / "v_train_a.mp4", 10)
    data = prepare_dataset("custom", root, tmp_path / "cache")
    assert data.videos[0].path.name == "train_a.mp4"


def test_hidden_and_other_files_are_passed_over(make_folder, tmp_path: Path) -> None:
    root = make_folder()
    (root / "videos" / "._train_a.mp4").write_bytes(b"a Mac was here")
    (root / "notes.txt").write_text("x")
    (root / "train_a.json").write_text("{}")
    (root / "loop").symlink_to(root)
    assert not prepare_dataset("custom", root, tmp_path / "cache").quarantined


def test_other_subsets_are_neither_needed_nor_probed(make_folder, tmp_path: Path) -> None:
    root = make_folder(hidden={"subset": "testing", "duration": 3})
    data = prepare_dataset("custom", root, tmp_path / "cache")
    assert {video.subset for video in data.videos} == {"training", "validation"}
    assert not data.quarantined


def bad_folders() -> dict[str, tuple]:
    def nothing(root: Path) -> None:
        shutil.rmtree(root)

    def no_annotations(root: Path) -> None:
        (root / "annotations.json").unlink()

    def no_videos(root: Path) -> None:
        shutil.rmtree(root / "videos")

    def broken_json(root: Path) -> None:
        (root / "annotations.json").write_text('{"database": ')

    def other_names(root: Path) -> None:
        database = annotations_of(root)
        for video in database.values():
            video["subset"] = {"training": "first", "validation": "last"}[video["subset"]]
        annotate(root, database)

    def unknown_label(root: Path) -> None:
        (root / "classes.txt").write_text("wave\n")

    def twice(root: Path) -> None:
        (root / "more").mkdir()
        shutil.copy(root / "videos" / "train_a.mp4", root / "more" / "train_a.mkv")

    def no_actions(root: Path) -> None:
        database = annotations_of(root)
        for video in database.values():
            if video["subset"] == "validation":
                video["annotations"] = []
        annotate(root, database)

    return {
        "nothing": (nothing, "there is no folder"),
        "no_annotations": (no_annotations, "there is no annotations.json in"),
        "no_videos": (no_videos, "there are no video files in"),
        "broken_json": (broken_json, "is not JSON: Expecting value at line 1 column 14"),
        "other_names": (
            other_names,
            r"have subset 'training': annotations.json has first \(4\), last \(2\)",
        ),
        "unknown_label": (unknown_label, "'train_a', annotation 2, has label 'jump', which is not in the class list"),
        "twice": (twice, "video 'train_a' could be .*expected one file"),
        "no_actions": (no_actions, "no usable video of subset 'validation' has an action"),
    }


@pytest.mark.parametrize("case", bad_folders())
def test_a_folder_that_cannot_work_is_one_sentence(make_folder, tmp_path: Path, case: str) -> None:
    spoil, message = bad_folders()[case]
    root = make_folder()
    spoil(root)
    with pytest.raises(ValueError, match=message) as caught:
        prepare_dataset("custom", root, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists() or case == "no_actions"


def test_other_subset_names_are_settings(make_folder, tmp_path: Path) -> None:
    root = make_folder()
    bad_folders()["other_names"][0](root)
    data = prepare_dataset("custom", root, tmp_path / "cache", train_subset="first", test_subset="last")
    assert len(data.subset("first")) == 4


def test_a_data_set_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.name is 'kinetics', expected one of synthetic, custom"):
        prepare_dataset("kinetics", tmp_path, tmp_path)
