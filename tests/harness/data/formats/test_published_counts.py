"""Every format reads the published annotations in ../shared with the counts of their README."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from harness.data.annotations import UNSCORED, classes_of, mended
from harness.data.datasets import dataset_of
from harness.data.formats import source_of, sources_in
from harness.data.listing import Listing
from harness.data.opening import with_subsets

# Subset: videos, with actions, instances, classes, Ambiguous; ../shared/data/README.md under "Counts" and its tables.
THUMOS14_TEXTS = {"validation": (200, 200, 3007, 20, 89), "test": (213, 212, 3358, 20, 99)}
ACTIVITYNET = {
    "training": (10024, 10024, 15410, 200, 0),
    "validation": (4926, 4926, 7654, 200, 0),
    "testing": (5044, 0, 0, 0, 0),
}
EPIC = {"training": (495, 67217), "validation": (138, 9668)}
NUM_CLASSES = {"verb": {"training": 97, "validation": 78}, "noun": {"training": 289, "validation": 211}}


@pytest.fixture(scope="module")
def annotations(shared_data: Path) -> Path:
    return shared_data / "annotations"


def counts(listing: Listing) -> dict[str, tuple[int, int, int, int, int]]:
    found = {}
    for subset in listing.subsets:
        labels = [[a.label for a in video.actions] for video in listing.videos if video.subset == subset]
        every = [label for video in labels for label in video]
        scored = [label for label in every if label != UNSCORED]
        with_scored = sum(any(label != UNSCORED for label in video) for video in labels)
        found[subset] = (len(labels), with_scored, len(scored), len(set(scored)), len(every) - len(scored))
    return found


@cache
def listings(folder: Path, task: str = "label") -> tuple[Listing, ...]:
    return tuple(source.read() for source in sources_in(folder, task))


def by_name(folder: Path, start: str, task: str = "label") -> Listing:
    (listing,) = (listing for listing in listings(folder, task) if listing.files[0].name.startswith(start))
    return listing


def test_thumos14_text_files(annotations: Path) -> None:
    listing = by_name(annotations / "thumos14", "Ambiguous")
    assert counts(listing) == THUMOS14_TEXTS
    assert len(listing.files) == 42
    assert classes_of(listing) == dataset_of("thumos14").classes


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("derived", {"validation": (200, 200, 3007, 20, 0), "test": (213, 212, 3358, 20, 0)}),
        ("detad_test", {"testing": (212, 212, 3358, 20, 0)}),
        ("detad_val", {"validation": (200, 200, 3003, 20, 0)}),
        ("gtad", {"train": (200, 200, 3007, 20, 0), "test": (210, 210, 3311, 20, 0)}),
        # With Ambiguous 3,096 and 3,457.
        ("rtd", {"train": (200, 200, 3007, 20, 89), "test": (213, 212, 3358, 20, 99)}),
        ("tsp", {"validation": (200, 200, 3007, 20, 0), "testing": (213, 212, 3358, 20, 0)}),
    ],
)
def test_thumos14_in_other_forms(annotations: Path, file: str, expected: dict) -> None:
    assert counts(by_name(annotations / "thumos14", file)) == expected


def test_thumos14_actions_past_the_end_are_those_of_the_readme(annotations: Path) -> None:
    listing = by_name(annotations / "thumos14", "tsp")
    _, flaws = mended(listing, classes_of(listing))
    past = [flaw.video_id for flaw in flaws if "past" in flaw.kind]
    videos = ("validation_0000364", "validation_0000856", "test_0000270", "test_0000814", "test_0001081")
    assert [past.count(f"video_{name}") for name in videos] == [2, 2, 22, 3, 1]
    assert len(past) == len(flaws) == 30


def test_every_thumos14_source_has_the_subsets_of_the_config(annotations: Path) -> None:
    spec = dataset_of("thumos14")
    for listing in listings(annotations / "thumos14"):
        renamed = with_subsets(listing, spec, ("training", "validation"))
        if listing.files[0].name.startswith("detad"):
            assert renamed is None  # one subset per file
            continue
        assert renamed is not None
        assert {video.subset for video in renamed.videos if "_validation_" in video.video_id} == {"training"}
        assert {video.subset for video in renamed.videos if "_test_" in video.video_id} == {"validation"}


@pytest.mark.parametrize("file", ["derived", "tsp"])
def test_activitynet_with_its_flaws(annotations: Path, file: str) -> None:
    listing = by_name(annotations / "activitynet13", file)
    assert counts(listing) == ACTIVITYNET
    _, flaws = mended(listing, classes_of(listing))
    kinds = [flaw.kind for flaw in flaws]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "end not after start": 12,
        "exact duplicate": 49,
        "end past the video's end": 1228,
    }


def test_bmns_activitynet(annotations: Path) -> None:
    assert counts(by_name(annotations / "activitynet13", "bmn")) == {
        "training": (9649, 9649, 14859, 200, 0),
        "validation": (4728, 4728, 7293, 200, 0),
        "testing": (4851, 0, 0, 0, 0),
    }


@pytest.mark.parametrize("task", ["verb", "noun"])
def test_epic_kitchens_in_frames(annotations: Path, task: str) -> None:
    listing = by_name(annotations / "epic100", "c2", task)
    found = counts(listing)
    assert {subset: (row[0], row[2]) for subset, row in found.items()} == EPIC
    assert {subset: row[3] for subset, row in found.items()} == NUM_CLASSES[task]
    # OpenTAD has 293 of the 300 nouns: those that occur in any subset.
    assert len(classes_of(listing)) == dataset_of(f"epic-{task}").data.num_classes


def test_epic_kitchens_official_times(annotations: Path) -> None:
    listing = by_name(annotations / "epic100", "EPIC", "verb")
    assert counts(listing) == {"validation": (138, 138, 9668, 78, 0), "testing": (67, 0, 0, 0, 0)}
    assert listing.left_out == {"segment without a class": 13092}


def seconds(listing: Listing) -> Iterator[tuple[str, float, float, str]]:
    for video in listing.videos:
        if video.subset == "validation":
            yield from ((video.video_id, a.start_s, a.end_s, a.label) for a in video.actions)


def test_frames_are_the_official_times(annotations: Path) -> None:
    # The same 9,668 segments in the same order; frames are whole, so a time is off by up to one and rounding.
    official = list(seconds(by_name(annotations / "epic100", "EPIC", "noun")))
    frames = list(seconds(by_name(annotations / "epic100", "c2", "noun")))
    assert [(row[0], row[3]) for row in official] == [(row[0], row[3]) for row in frames]
    starts, ends = ([abs(a[i] - b[i]) for a, b in zip(official, frames, strict=True)] for i in (1, 2))
    assert max(starts) < 0.11
    assert max(ends) < 0.11


def test_single_files_and_folders_are_recognised(annotations: Path) -> None:
    single = source_of(annotations / "thumos14" / "gtad_thumos_gt.json.gz").read()
    assert counts(single)["train"][:3] == (200, 200, 3007)
    folder = source_of(annotations / "thumos14" / "annotation_test").read()
    assert counts(folder) == {"test": THUMOS14_TEXTS["test"]}
    with pytest.raises(ValueError, match="has 7 sets of annotations"):
        source_of(annotations / "thumos14")


def test_the_data_sets_know_how_many_videos_they_train_on() -> None:
    assert dataset_of("thumos14").num_train_videos == THUMOS14_TEXTS["validation"][1]
    assert dataset_of("activitynet").num_train_videos == ACTIVITYNET["training"][1]
    for task in ("verb", "noun"):
        assert dataset_of(f"epic_{task}").num_train_videos == EPIC["training"][0]
