"""Ego4D's Moment Queries: clips are the videos, times are moved to them, and only primary labels count."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.annotations import mend
from harness.data.formats import source_of
from harness.data.formats.ego4d import NO_LABEL, NOT_PRIMARY, ODD_RATE, read_ego4d


def label(start: float, end: float, name: str = "use_phone", primary: bool = True) -> dict[str, Any]:
    return {"primary": primary, "label": name, "video_start_time": start, "video_end_time": end}


def clip(uid: str, start_s: float, end_s: float, *annotators: list, fps: float = 30.0) -> dict[str, Any]:
    return {
        "clip_uid": uid,
        "video_start_sec": start_s,
        "video_end_sec": end_s,
        "video_start_frame": round(start_s * fps),
        "video_end_frame": round(end_s * fps),
        "annotations": [{"labels": labels} for labels in annotators],
    }


def write(folder: Path, split: str, *clips: dict, name: str | None = None) -> Path:
    path = folder / (name or f"moments_{split}.json")
    path.write_text(json.dumps({"version": "1", "videos": [{"video_uid": "v", "split": split, "clips": list(clips)}]}))
    return path


def test_clips_become_videos_with_times_of_their_own(tmp_path: Path) -> None:
    train = write(
        tmp_path,
        "train",
        clip("a", 480.0, 960.0, [label(500, 510.5), label(600, 610, "wash_dishes", primary=False)], [label(490, 491)]),
        clip("b", 0.0, 300.0, []),
        clip("c", 0.0, 300.0, [label(1, 2)], fps=3.0),
    )
    val = write(tmp_path, "val", clip("d", 0.021, 480.0, [label(0.021, 480.0, "read_book")]))
    test_clip = clip("e", 0.0, 480.0)
    del test_clip["annotations"]
    hidden = write(tmp_path, "test", test_clip, name="moments_test_unannotated.json")
    listing = read_ego4d((train, val, hidden))
    found = {video.video_id: [(a.start_s, a.end_s, a.label) for a in video.actions] for video in listing.videos}
    assert found == {
        "a": [(20.0, 30.5, "use_phone"), (10.0, 11.0, "use_phone")],
        "d": [(0.0, 479.979, "read_book")],
        "e": [],
    }
    assert [(video.subset, video.duration_s) for video in listing.videos] == [
        ("train", 480.0),
        ("val", 479.979),
        ("test", 480.0),
    ]
    assert listing.left_out == {NOT_PRIMARY: 1, NO_LABEL: 1, ODD_RATE: 1}
    assert mend(listing).classes == ("read_book", "use_phone")
    assert source_of(tmp_path).read().subsets == {"test": 1, "train": 1, "val": 1}


@given(
    start=st.floats(0, 5000),
    length=st.floats(10, 500),
    shares=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5),
)
def test_labels_inside_a_clip_are_inside_the_video(
    tmp_path_factory: pytest.TempPathFactory, start: float, length: float, shares: list[tuple[float, float]]
) -> None:
    labels = [label(start + min(pair) * length, start + max(pair) * length) for pair in shares]
    path = write(tmp_path_factory.mktemp("ego4d"), "train", clip("a", start, start + length, labels))
    (video,) = read_ego4d((path,)).videos
    assert video.duration_s == pytest.approx(length, abs=1e-4)
    for action, pair in zip(video.actions, shares, strict=True):
        # Rounded to four decimals, as the public converters do.
        assert (action.start_s, action.end_s) == pytest.approx((min(pair) * length, max(pair) * length), abs=1e-4)
        assert -1e-4 <= action.start_s <= action.end_s <= video.duration_s + 2e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip_uid": None}, 'video 1, clip 1 has "clip_uid" None, expected a text'),
        ({"video_start_sec": "soon"}, "clip 1 has \"video_start_sec\" 'soon', expected a finite number"),
        ({"video_end_frame": None}, 'clip 1 has "video_end_frame" None, expected a finite number'),
        ({"annotations": {}}, 'clip 1 has "annotations" {}, expected a list'),
        ({"annotations": [[]]}, 'annotator 1 has "labels" None, expected a list'),
        ({"annotations": [{"labels": [3]}]}, 'annotator 1, label 1, has "primary" None, expected true or false'),
        ({"annotations": [{"labels": [label(1, 2) | {"label": 3}]}]}, 'label 1, has "label" 3, expected a text'),
        ({"annotations": [{"labels": [{"primary": True, "label": "x"}]}]}, '"video_start_time" None, expected a'),
    ],
)
def test_a_damaged_clip_is_one_sentence(tmp_path: Path, change: dict, message: str) -> None:
    path = write(tmp_path, "train", clip("a", 0, 300, [label(1, 2)]) | change)
    with pytest.raises(ValueError, match="moments_train") as caught:
        read_ego4d((path,))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
