"""`tadscale extract`: offline features of a folder of videos, from any backbone."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import UserError
from harness.cli.terminal import Terminal

if TYPE_CHECKING:
    from harness.config import TrialConfig
    from models.detector import Detector

EXAMPLES = """\
what comes out, which --features of a study or of `tadscale train` reads, as it reads features of other origin
  DIR/VIDEO.npy      float32, (time, channels): feature k is of the frames k x stride ... (k + 1) x stride - 1
  DIR/features.json  {"channels": C, "stride": frames from one feature to the next, "fps": {VIDEO: frames per second}}
  DIR/extract.json   how they were made; a second run with other settings is refused

features of other origin: one VIDEO.npy, .npz or .pt per video below DIR, (time, channels) or (channels, time).
  features.json may say "channels", "stride" with "fps" (a number or one for each video), "offset" (the frame in the
  middle of the first feature's frames; default stride / 2) and "layout" (time_first, channels_first; only needed where
  both lengths are the same). Without stride and fps, features spread evenly over the video's annotated duration.

Videos that have their file already are not looked at again, so a run that was stopped goes on where it was.

examples:
  tadscale extract --data-root VIDEOS --backbone videomae-s --weights videomae-s.pth --out features
  tadscale extract --data-root VIDEOS --backbone videomae-b --weights DIR --representation frame --stride 4 --out f
  tadscale train --on custom --data-root ANNOTATIONS --features features --preset paper --out run
"""
LOST_CODE, STOPPED_CODE = 1, 130


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is extracted, and how."""

    config: "TrialConfig"
    margin: int
    """Cells of a window's edges that its neighbours give."""
    settings: dict[str, Any]
    """What decides the numbers, for `extract.json`."""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "extract",
        allow_abbrev=False,
        help="extract offline features of a folder of videos",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Encode every video below a folder with a frozen backbone; one file of features for each.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--data-root", type=Path, required=True, metavar="DIR", help="folder with videos, at any depth")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the features")
    parser.add_argument("--backbone", default="videomae-s", metavar="NAME", help="(default: videomae-s)")
    parser.add_argument("--weights", type=Path, metavar="PATH", help="its weights: a file, or a folder with NAME.pth")
    parser.add_argument(
        "--representation",
        choices=("snippet", "frame"),
        default="snippet",
        help="snippet: the frames around each feature are encoded alone (default); frame: a window at once",
    )
    parser.add_argument("--stride", type=_count, default=4, metavar="N", help="frames from feature to feature (4)")
    parser.add_argument("--frame-stride", type=_count, default=1, metavar="N", help="look at every n-th frame (1)")
    parser.add_argument("--snippet-frames", type=_count, default=16, metavar="N", help="frames of one snippet (16)")
    parser.add_argument("--window", type=_count, default=64, metavar="N", help="features that are made at once (64)")
    parser.add_argument("--resolution", type=_count, default=224, metavar="N", help="pixels of the centre view (224)")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32", help="(default: fp32)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(default: what this machine has)")
    parser.add_argument("--data-workers", type=int, default=0, metavar="N", help="decoding processes (0)")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    return parser


def run(given: argparse.Namespace) -> int:
    """Extract; return 0, 1 if some videos could not be read, 130 where Ctrl-C stopped it."""
    terminal = Terminal(quiet=given.quiet)
    job = _job(given, terminal)
    videos = _videos(given.data_root)
    _same_settings(given.out, job.settings)
    missing = [name for name in videos if not (given.out / f"{name}.npy").is_file()]
    if len(missing) < len(videos):
        terminal.note(f"{len(videos) - len(missing)} of {len(videos)} videos have their features already")
    lost = _extract(given, job, {name: videos[name] for name in missing}, terminal) if missing else {}
    _describe(given, job, [name for name in videos if name not in lost], videos, terminal)
    for name, reason in lost.items():
        terminal.say(f"{videos[name]} is left out: {reason}")
    if len(lost) == len(videos):
        raise UserError(f"none of the {len(videos)} videos below {given.data_root} can be used")
    terminal.say(f"{len(videos) - len(lost)} videos, {job.config.model.backbone.channels} channels: {given.out}")
    terminal.say(f"next: tadscale train --on custom --data-root ANNOTATIONS --features {given.out} --out run")
    return LOST_CODE if lost else 0


def _job(given: argparse.Namespace, terminal: Terminal) -> Job:
    """Return the config that a trial with these windows and networks would have."""
    from harness import presets
    from harness.config import WindowConfig, flatten, with_values
    from models.config import BACKBONES, RepresentationConfig

    if given.backbone not in BACKBONES:
        raise UserError(f"--backbone is {given.backbone}, expected one of {', '.join(BACKBONES)}")
    if given.stride % given.frame_stride:
        raise UserError(f"--stride is {given.stride}, expected a multiple of --frame-stride ({given.frame_stride})")
    per_cell = given.stride // given.frame_stride
    window = WindowConfig(
        frames=given.window * per_cell,
        span=given.window * given.stride,
        features=given.window,
        resolution=given.resolution,
    )
    representation = RepresentationConfig()
    margin = 0
    if given.representation == "snippet":
        representation = RepresentationConfig(
            kind="snippet", snippet_frames=given.snippet_frames, snippet_stride=per_cell
        )
        reach = max(0, given.snippet_frames - per_cell + 1) // 2
        margin = -(-reach // per_cell)
        if given.window <= 2 * margin:
            raise UserError(f"--window is {given.window}, expected more than {2 * margin} for these snippets")
    weights = _weights(given, terminal)
    config = with_values(
        presets.thumos_adatad(),
        {
            "data.window": window,
            "model.backbone": BACKBONES[given.backbone],
            "model.weights": weights[1],
            "model.representation": representation,
            "model.tuning": "frozen",
            "model.adapter": None,
            "training.precision": given.precision,
        },
    )
    given.weights = weights[0]
    decisive = ("data.window.", "model.backbone.", "model.weights", "model.representation.", "training.precision")
    settings = {path: value for path, value in flatten(config).items() if path.startswith(decisive)}
    return Job(config=config, margin=margin, settings=json.loads(json.dumps(settings)))


def _weights(given: argparse.Namespace, terminal: Terminal) -> tuple[Path, str]:
    """Return the backbone's file and its identity; the tiny backbones are pretrained here."""
    from harness.cli.weights import weights_file
    from models.digest import weights_digest

    if given.weights is not None:
        path = weights_file(given.weights, given.backbone)
        return path, weights_digest(path)
    if not given.backbone.endswith("-tiny"):
        raise UserError(f"{given.backbone} needs --weights, a file or a folder with {given.backbone}.pth")
    from harness.cli.plan import cache_dir
    from harness.training.pretrain import FULL, ensure_pretrained
    from models.config import BACKBONES

    with terminal.stage(f"pretraining {given.backbone}") as progress:
        path = ensure_pretrained(cache_dir() / "weights", FULL, BACKBONES[given.backbone], progress)
    return path, weights_digest(path)


def _videos(root: Path) -> dict[str, Path]:
    from harness.data.video_files import files_by_stem

    if not root.is_dir():
        raise UserError(f"there is no folder {root}, expected videos in it")
    found = files_by_stem(root)
    for paths in found.values():
        if len(paths) > 1:
            raise UserError(f"{paths[0]} and {paths[1]} have one name, expected names that tell them apart")
    return {name: paths[0] for name, paths in found.items()}


def _same_settings(out: Path, settings: dict[str, Any]) -> None:
    """Note the settings of a first run; refuse to mix its features with others."""
    note = out / "extract.json"
    if not note.is_file():
        _write(note, settings)
        return
    try:
        before = json.loads(note.read_text(encoding="utf-8"))
        other = [path for path in {**before, **settings} if before.get(path) != settings.get(path)]
    except (ValueError, TypeError, AttributeError):
        raise UserError(f"{note} cannot be understood; expected it as it was written, or another --out") from None
    if other:
        raise UserError(
            f"--out is {out}, whose features have {other[0]} {before.get(other[0])}, not {settings.get(other[0])}; "
            "expected another folder"
        )


def _extract(given: argparse.Namespace, job: Job, videos: dict[str, Path], terminal: Terminal) -> dict[str, str]:
    """Write the features of the videos; return those that cannot be read, and why."""
    import numpy as np

    from harness.atomic import whole_file
    from harness.data.index import Video
    from harness.data.probe import probe_video
    from harness.data.video import UnreadableVideo
    from harness.training.extract import encode

    detector, device = _detector(given, job)
    lost: dict[str, str] = {}
    with terminal.stage("extracting features") as progress:
        for number, (name, path) in enumerate(videos.items(), start=1):
            try:
                info = probe_video(path)
            except UnreadableVideo as error:
                lost[name] = error.reason
                continue
            video = Video(video_id=name, path=path.absolute(), subset="", info=info, actions=())
            features = encode(
                detector,
                video,
                job.config,
                device=device,
                workers=given.data_workers,
                margin=job.margin,
                unreadable=lost,
            )
            if features is not None:
                with whole_file(given.out / f"{name}.npy") as temporary, temporary.open("wb") as file:
                    np.save(file, features)
            progress(number, len(videos))
    return lost


def _detector(given: argparse.Namespace, job: Job) -> "tuple[Detector, str]":
    from harness.memory.devices import find_device
    from harness.training.loop import Places, prepare_detector

    device = "cpu" if find_device(given.device).name == "cpu" else "cuda"
    places = Places(dataset=Path(), weights=given.weights, work=given.out)
    return prepare_detector(job.config, places).to(device).eval(), device


def _describe(
    given: argparse.Namespace, job: Job, names: "Sequence[str]", videos: dict[str, Path], terminal: Terminal
) -> None:
    """Write what the features' files do not say."""
    from harness.data.given_features import FACTS
    from harness.data.probe import probe_videos
    from harness.data.video import UnreadableVideo

    with terminal.stage("measuring videos") as progress:
        infos = probe_videos([videos[name].absolute() for name in names], progress=progress)
    rates = {name: info.fps for name, info in zip(names, infos, strict=True) if not isinstance(info, UnreadableVideo)}
    facts = {"channels": job.config.model.backbone.channels, "stride": given.stride, "fps": rates}
    _write(given.out / FACTS, facts)


def _write(path: Path, value: Any) -> None:
    from harness.atomic import whole_file

    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)
