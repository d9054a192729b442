"""What annotation files say, before anything in it is mended: the one thing that every format is read into.

files --formats--> Listing --annotations.mend--> Annotations
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ListedAction:
    """An annotated action as it was written."""

    start_s: float
    end_s: float
    label: str
    where: str
    """File and place, for messages."""


@dataclass(frozen=True, kw_only=True)
class ListedVideo:
    """A video as it was listed."""

    video_id: str
    subset: str
    duration_s: float | None = None
    """None: not said."""
    fps: float | None = None
    """Frames per second that the annotations are of, where they say it."""
    actions: tuple[ListedAction, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All that one set of annotation files says."""

    form: str
    """The format, in words."""
    files: tuple[Path, ...]
    videos: tuple[ListedVideo, ...]
    repairs: Mapping[str, int] = field(default_factory=dict)
    """What had to be mended while reading, by kind."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What the format itself passes over, by kind: nothing is wrong with it."""

    @property
    def subsets(self) -> dict[str, int]:
        """Return the subsets and how many videos each has, in order of appearance."""
        return dict(Counter(video.subset for video in self.videos))

    def renamed(self, subsets: Mapping[str, str]) -> "Listing":
        """Return the listing with subsets called by other names."""
        videos = tuple(replace(video, subset=subsets.get(video.subset, video.subset)) for video in self.videos)
        return replace(self, videos=videos)


class Lister:
    """Gathers a listing from rows that name a video again and again."""

    def __init__(self) -> None:
        self._videos: dict[str, ListedVideo] = {}
        self._actions: dict[str, list[ListedAction]] = {}
        self.repairs: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()

    def video(
        self, video_id: str, subset: str, where: str, *, duration_s: float | None = None, fps: float | None = None
    ) -> None:
        """Note a video; what an earlier row said of it stays.

        Raises:
            ValueError: it has no name, or was in another subset before.
        """
        if not video_id:
            raise ValueError(f"{where} names no video")
        known = self._videos.get(video_id)
        if known is None:
            known = ListedVideo(video_id=video_id, subset=subset)
            self._actions[video_id] = []
        if known.subset != subset:
            raise ValueError(f"{where} puts video {video_id!r} in {subset}, but it is in {known.subset} already")
        if known.duration_s is None or known.fps is None:
            self._videos[video_id] = replace(known, duration_s=known.duration_s or duration_s, fps=known.fps or fps)

    def action(self, video_id: str, start_s: float, end_s: float, label: str, where: str) -> None:
        """Note an action of a video that was noted before."""
        self._actions[video_id].append(ListedAction(start_s=start_s, end_s=end_s, label=label, where=where))

    def listing(self, form: str, files: tuple[Path, ...]) -> Listing:
        """Return what was gathered.

        Raises:
            ValueError: there is no video.
        """
        if not self._videos:
            raise ValueError(f"{', '.join(map(str, files))} lists no video, expected at least one")
        return Listing(
            form=form,
            files=files,
            videos=tuple(replace(v, actions=tuple(self._actions[v.video_id])) for v in self._videos.values()),
            repairs=dict(self.repairs),
            left_out=dict(self.left_out),
        )
