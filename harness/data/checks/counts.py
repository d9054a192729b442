"""How many videos, actions and classes each subset of some annotations has, and how many actions each class."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.data.annotations import UNSCORED
from harness.data.listing import ListedVideo, Listing


@dataclass(frozen=True, kw_only=True)
class SubsetCounts:
    """One subset, as it was written: nothing mended."""

    videos: int
    with_actions: int
    """Videos with at least one action that counts."""
    actions: int
    classes: int
    unscored: int
    """Stretches that are marked Ambiguous."""
    by_class: dict[str, int]
    """Actions of each class, in the order of the class list, other labels last."""


def count_subsets(listing: Listing, classes: Sequence[str]) -> dict[str, SubsetCounts]:
    """Return the counts of each subset, in order of appearance."""
    subsets: dict[str, list[ListedVideo]] = {name: [] for name in listing.subsets}
    for video in listing.videos:
        subsets[video.subset].append(video)
    return {name: _count(videos, classes) for name, videos in subsets.items()}


def _count(videos: Sequence[ListedVideo], classes: Sequence[str]) -> SubsetCounts:
    unscored = () if UNSCORED in classes else (UNSCORED,)
    labels = [[action.label for action in video.actions if action.label not in unscored] for video in videos]
    counted = Counter(label for video in labels for label in video)
    order = [label for label in classes if label in counted]
    return SubsetCounts(
        videos=len(videos),
        with_actions=sum(map(bool, labels)),
        actions=counted.total(),
        classes=len(counted),
        unscored=sum(len(video.actions) for video in videos) - counted.total(),
        by_class={label: counted[label] for label in [*order, *(label for label in counted if label not in order)]},
    )
