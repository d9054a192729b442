"""BMN's ActivityNet files: `anet_anno_action.json` with the segments, `video_info_new.csv` with the subsets."""

from dataclasses import replace
from pathlib import Path

from harness.data.files import number_of, read_json, read_rows
from harness.data.formats.activitynet import WHAT, read_videos
from harness.data.listing import ListedVideo, Listing
from harness.data.spec import Task

VIDEOS = ("video", "seconds", "fps", "subset")


def read_bmn(segments: Path, videos: Path, task: Task = "label") -> Listing:
    """Read the pair; a video that the CSV does not name belongs to no subset and is left out.

    Raises:
        ValueError: a column is missing, or a value is not what is expected.
    """
    rows = {row["video"]: (row, where) for where, row in read_rows(videos, VIDEOS, "BMN's list of videos")}
    database = read_json(segments, WHAT)
    if not isinstance(database, dict):
        raise ValueError(f"{segments} is no object with a video's entry under each id")
    known = {video_id: entry for video_id, entry in database.items() if video_id in rows}
    subsets = {video_id: row["subset"] for video_id, (row, _) in rows.items()}
    listing = read_videos(known, segments, task, "BMN's JSON and CSV", subsets)
    listed = {video.video_id: video for video in listing.videos}
    complete = tuple(
        replace(
            listed.get(video_id, ListedVideo(video_id=video_id, subset=row["subset"])),
            fps=number_of(row["fps"], f"{where} has fps"),
            duration_s=number_of(row["seconds"], f"{where} has seconds", " of seconds"),
        )
        for video_id, (row, where) in rows.items()
    )
    left_out = {"video of no subset": len(database) - len(known)} if len(known) < len(database) else {}
    return replace(listing, files=(segments, videos), videos=complete, left_out=left_out)
