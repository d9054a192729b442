"""From a folder to annotations: which files are read, how subsets are called, which videos are left out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.annotations import Action
from harness.data.datasets import DATASETS, THUMOS14_CLASSES, dataset_of
from harness.data.index import prepare_dataset
from harness.data.listing import ListedVideo, Listing
from harness.data.opening import find_classes, open_annotations, with_subsets, without_blocked

SUBSETS = ("training", "validation")


def schema(**videos: tuple[str, list[tuple[float, float, str]]]) -> str:
    return json.dumps(
        {
            "database": {
                video_id: {
                    "subset": subset,
                    "duration": 4.0,
                    "frame": 100,
                    "annotations": [{"segment": [start, end], "label": label} for start, end, label in actions],
                }
                for video_id, (subset, actions) in videos.items()
            }
        }
    )


def thumos_folder(root: Path) -> Path:
    texts = {
        "annotation_val/Diving_val.txt": "video_validation_0000001  0.5 1.5\nvideo_validation_0000002 1.0 2.0\n",
        "annotation_val/Ambiguous_val.txt": "video_validation_0000002  2.5 3.5\n",
        "annotation_test/Shotput_test.txt": "video_test_0000003  0.2 1.2\nvideo_test_0000270  0.1 0.9\n",
        "annotation_test/detclasslist.txt": "1 Diving\n",
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_thumos14_as_its_authors_publish_it_becomes_a_data_set(
    tmp_path: Path, stored_videos: Callable[[int], Path]
) -> None:
    root = thumos_folder(tmp_path / "thumos14")
    for name in ("validation_0000001", "validation_0000002", "test_0000003", "test_0000270"):
        shutil.copy(stored_videos(100), root / f"video_{name}.mp4")
    data = prepare_dataset("thumos14", root, tmp_path / "cache", blocked=DATASETS["thumos14"].data.blocked)
    assert data.classes == THUMOS14_CLASSES
    assert [video.video_id for video in data.subset("training")] == [
        "video_validation_0000002",
        "video_validation_0000001",
    ]
    assert [video.video_id for video in data.subset("validation")] == ["video_test_0000003"]
    assert data.subset("training")[0].actions == (Action(start_s=1.0, end_s=2.0, label="Diving"),)
    assert data.repairs == {"duration unknown": 3, "label Ambiguous": 1, "blocked video": 1}


def test_opentads_file_and_class_map_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "thumos_14_anno.json").write_text(
        schema(a=("training", [(1, 2, "Diving"), (2, 3, "Ambiguous")]), b=("validation", [(0, 1, "Shotput")]))
    )
    (tmp_path / "annotations" / "category_idx.txt").write_text("Shotput\nDiving\n")
    found = open_annotations(tmp_path, dataset_of("thumos14"), SUBSETS)
    assert found.classes == ("Shotput", "Diving")
    assert found.repairs == {"label Ambiguous": 1}


def test_of_opentads_verb_and_noun_files_that_of_the_task_is_read(tmp_path: Path) -> None:
    for task, label in (("verb", "id_003"), ("noun", "id_107")):
        (tmp_path / f"epic_kitchens_{task}.json").write_text(
            schema(P01=("train", [(1, 2, label)]), P02=("val", [(1, 2, label)]))
        )
        (tmp_path / f"category_idx_{task}.txt").write_text(f"{label}\n")
    for task, label in (("verb", "3"), ("noun", "107")):
        found = open_annotations(tmp_path, dataset_of(f"epic-{task}"), ("train", "val"))
        assert found.classes == (label,)
        assert {action.label for video in found.videos for action in video.actions} == {label}


def test_epic_kitchens_official_csvs_are_read(tmp_path: Path) -> None:
    head = "narration_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n"
    (tmp_path / "EPIC_100_train.csv").write_text(head + "n,P01_01,00:00:01.50,00:01:02.00,10,2\n")
    (tmp_path / "EPIC_100_validation.csv").write_text(head + "n,P02_01,01:00:00.00,01:00:01.00,9,3\n")
    (tmp_path / "EPIC_100_video_info.csv").write_text("video_id,duration,fps,resolution\nP01_01,99.5,50.0,1x1\n")
    (tmp_path / "EPIC_100_verb_classes.csv").write_text("id,key,instances,category\n9,a,x,y\n10,b,x,y\n")
    found = open_annotations(tmp_path, dataset_of("epic_verb"), ("train", "val"))
    assert found.classes == ("9", "10")
    assert [(v.subset, v.duration_s, v.actions) for v in found.videos] == [
        ("train", 99.5, (Action(start_s=1.5, end_s=62.0, label="10"),)),
        ("val", None, (Action(start_s=3600.0, end_s=3601.0, label="9"),)),
    ]


def test_annotations_json_goes_before_whatever_lies_beside_it(tmp_path: Path) -> None:
    thumos_folder(tmp_path)
    own = schema(a=("training", [(1, 2, "Diving")]), b=("validation", [(1, 2, "Diving")]))
    (tmp_path / "annotations.json").write_text(own)
    assert {v.video_id for v in open_annotations(tmp_path, dataset_of("thumos14"), SUBSETS).videos} == {"a", "b"}


def test_two_sets_of_annotations_are_one_too_many(tmp_path: Path) -> None:
    thumos_folder(tmp_path)
    own = schema(a=("training", [(1, 2, "Diving")]), b=("validation", [(1, 2, "Diving")]))
    (tmp_path / "thumos_14_anno.json").write_text(own)
    with pytest.raises(ValueError, match=r"has 2 sets of annotations .*expected one, or annotations\.json"):
        open_annotations(tmp_path, dataset_of("thumos14"), SUBSETS)


def test_a_set_without_the_subsets_does_not_count(tmp_path: Path) -> None:
    thumos_folder(tmp_path)
    (tmp_path / "other.json").write_text(schema(a=("elsewhere", [(1, 2, "Diving")])))
    found = open_annotations(tmp_path, dataset_of("thumos14"), SUBSETS)
    assert {video.subset for video in found.videos} == {"training", "validation"}
    shutil.rmtree(tmp_path / "annotation_val")
    with pytest.raises(ValueError, match=r"have subset 'training': other\.json has elsewhere \(1\); Shotput_test"):
        open_annotations(tmp_path, dataset_of("thumos14"), SUBSETS)


def test_a_folder_without_annotations_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no annotations\.json in .*, nor annotation files of a format"):
        open_annotations(tmp_path, dataset_of("custom"), SUBSETS)


@pytest.mark.parametrize(
    ("name", "text"), [("blocked.json", '["a", "v_b"]'), ("missing_files.txt", "v_a\nb\n\n"), ("none", "")]
)
def test_block_files_leave_videos_out(tmp_path: Path, name: str, text: str) -> None:
    actions = [(1.0, 2.0, "Diving")]
    (tmp_path / "annotations.json").write_text(
        schema(v_a=("training", actions), b=("validation", actions), c=("training", actions), d=("validation", actions))
    )
    (tmp_path / name).write_text(text)
    found = open_annotations(tmp_path, dataset_of("activitynet"), SUBSETS)
    assert {video.video_id for video in found.videos} >= {"c", "d"}
    assert len(found.videos) == (4 if name == "none" else 2)
    assert found.repairs.get("blocked video", 0) == (0 if name == "none" else 2)


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", "a\nb"])
def test_a_block_list_that_is_none_is_one_sentence(tmp_path: Path, text: str) -> None:
    actions = [(1.0, 2.0, "Diving")]
    (tmp_path / "annotations.json").write_text(schema(a=("training", actions), b=("validation", actions)))
    (tmp_path / "blocked.json").write_text(text)
    with pytest.raises(ValueError, match=r"blocked\.json is no"):
        open_annotations(tmp_path, dataset_of("activitynet"), SUBSETS)


def test_the_class_list_is_the_folders_or_the_data_sets_or_the_labels(tmp_path: Path) -> None:
    assert find_classes(tmp_path, dataset_of("thumos14")) == THUMOS14_CLASSES
    assert find_classes(tmp_path, dataset_of("custom")) is None
    (tmp_path / "category_idx.txt").write_text("x\n")
    assert find_classes(tmp_path, dataset_of("thumos14")) == ("x",)
    (tmp_path / "classes.txt").write_text("y\n")
    assert find_classes(tmp_path, dataset_of("thumos14")) == ("y",)


def listing(subsets: list[str]) -> Listing:
    videos = tuple(ListedVideo(video_id=f"v_{number}", subset=subset) for number, subset in enumerate(subsets))
    return Listing(form="", files=(Path("x"),), videos=videos)


names = st.sampled_from(["training", "train", "validation", "val", "test", "testing", "other"])


@given(subsets=st.lists(names, min_size=1, max_size=8), spec=st.sampled_from(sorted(DATASETS)))
def test_renamed_subsets_keep_every_video_and_tell_train_from_test(subsets: list[str], spec: str) -> None:
    wanted = (DATASETS[spec].data.train_subset, DATASETS[spec].data.test_subset)
    found = with_subsets(listing(subsets), DATASETS[spec], wanted)
    pairs = [pair for pair in (wanted, *DATASETS[spec].subset_names) if set(pair) <= set(subsets)]
    assert (found is None) == (not pairs)
    if found is not None:
        new = [video.subset for video in found.videos]
        assert len(new) == len(subsets)
        for before, after in zip(pairs[0], wanted, strict=True):
            assert [name == before for name in subsets] == [name == after for name in new]


@given(blocked=st.sets(st.integers(0, 9)), prefix=st.sampled_from(["", "v_"]))
def test_blocking_leaves_out_exactly_the_named_videos(blocked: set[int], prefix: str) -> None:
    whole = listing(["training"] * 6)
    left, count = without_blocked(whole, {f"{prefix}{number}" for number in blocked})
    assert count == len(blocked & set(range(6)))
    assert {video.video_id for video in left.videos} == {f"v_{n}" for n in range(6) if n not in blocked}
