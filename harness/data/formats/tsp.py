"""TSP's CSVs: `..._metadata.csv` with every video, `..._tsp_groundtruth.csv` with segments (ActivityNet, THUMOS14).

Rows of the ground truth are actions and the stretches between them; only those whose `temporal-region-label` is
`Action` count. File names start with ActivityNet's `v_`, which is no part of the id. Times are of the videos that TSP
encoded anew at 30 frames per second: durations agree with the originals, numbers of frames do not.
"""

from collections.abc import Mapping
from pathlib import Path

from harness.data.files import number_of, read_rows
from harness.data.listing import Lister, Listing

VIDEOS = ("filename", "video-duration", "fps", "video-frames")
SEGMENTS = ("video-name", "t-start", "t-end", "action-label", "video-duration", "temporal-region-label")
BETWEEN = "stretch between actions"


def read_tsp(videos: Mapping[Path, str], segments: Mapping[Path, str]) -> Listing:
    """Read files of any subsets.

    Args:
        videos: Subset of each metadata file.
        segments: Subset of each ground truth file.

    Raises:
        ValueError: a column is missing, or a value is not what is expected.
    """
    lister = Lister()
    for path, subset in videos.items():
        for where, row in read_rows(path, VIDEOS, "TSP's metadata"):
            duration_s = number_of(row["video-duration"], f"{where} has video-duration", " of seconds")
            fps = number_of(row["fps"], f"{where} has fps")
            lister.video(_video_id(row["filename"]), subset, where, duration_s=duration_s, fps=fps)
    for path, subset in segments.items():
        for where, row in read_rows(path, SEGMENTS, "TSP's ground truth"):
            duration_s = number_of(row["video-duration"], f"{where} has video-duration", " of seconds")
            lister.video(row["video-name"], subset, where, duration_s=duration_s)
            if row["temporal-region-label"] != "Action":
                lister.left_out[BETWEEN] += 1
                continue
            start_s, end_s = (number_of(row[name], f"{where} has {name}", " of seconds") for name in SEGMENTS[1:3])
            lister.action(row["video-name"], start_s, end_s, row["action-label"], where)
    return lister.listing("TSP's CSVs", (*videos, *segments))


def _video_id(file_name: str) -> str:
    return Path(file_name).stem.removeprefix("v_")
