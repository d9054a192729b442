"""The synthetic data set: real H.264 files of `motion` scenes, with annotations, written once and checked afterwards.

    spec -> scenes -> (helper processes) frames -> .mp4, renamed when whole -> manifest of sizes and hashes
                   -> annotations.json (ActivityNet schema), classes.txt

The drawn pixels depend on the spec alone. The encoder runs in one thread with a constant quantiser, so that it takes
no decision in floating point either. A file that is missing or was damaged is written again, the others stay.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from harness.config import digest_of
from harness.data.files import write_json
from harness.data.motion import CLASSES, RATES, SIDE, Dice, Scene, compose, draw

VERSION = 1
"""Raised whenever the same spec would give other pixels or annotations."""

QUANTISER = 20
KEY_FRAME_EVERY = 48
"""Frames; a window starts anywhere, and the decoder must go back to a key frame."""
MAX_HELPERS = 4
CHUNK_FRAMES = 64

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class SyntheticSpec:
    """What decides the synthetic videos, all of it."""

    num_train: int = 40
    num_test: int = 20
    min_seconds: int = 20
    max_seconds: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse sets that cannot be written."""
        if self.num_train < 1 or self.num_test < 1:
            raise ValueError(f"num_train and num_test are {self.num_train} and {self.num_test}, expected at least 1")
        if not 1 <= self.min_seconds <= self.max_seconds:
            raise ValueError(
                f"min_seconds and max_seconds are {self.min_seconds} and {self.max_seconds}, expected 1 <= min <= max"
            )

    @property
    def digest(self) -> str:
        """Identity of the data set: the spec and the version of what draws it."""
        return digest_of({"version": VERSION, **asdict(self)})

    @property
    def names(self) -> tuple[str, ...]:
        """Video ids, training videos first."""
        train = [f"train_{index:03d}" for index in range(self.num_train)]
        return (*train, *(f"test_{index:03d}" for index in range(self.num_test)))


FULL = SyntheticSpec()
QUICK = SyntheticSpec(num_train=16, num_test=8, max_seconds=30)


def ensure_synthetic(root: Path, spec: SyntheticSpec, progress: Progress | None = None) -> Path:
    """Return the folder of the spec's data set below `root`, writing whatever of it is missing or damaged.

    Args:
        root: the cache; several processes may use it at once.
        spec: which data set.
        progress: called with (files written, files to write).

    Raises:
        ValueError: the files cannot be written.
    """
    folder = root / spec.digest
    try:
        (folder / "videos").mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            known = _read_manifest(folder)
            wanted = ("annotations.json", "classes.txt", *(f"videos/{name}.mp4" for name in spec.names))
            missing = [name for name in wanted if known.get(name) is None or known[name] != _facts(folder / name)]
            if missing:
                _write(folder, spec, missing, known, progress)
    except OSError as error:
        raise ValueError(f"cannot write the synthetic videos below {root}: {error.strerror or error}") from None
    return folder


def scene_of(spec: SyntheticSpec, name: str) -> Scene:
    """Return a video before it is drawn."""
    dice = Dice(spec.seed, VERSION, spec.names.index(name))
    rate = RATES[dice.within(0, len(RATES) - 1)]
    frames = rate.frames(dice.within(spec.min_seconds * 1000, spec.max_seconds * 1000))
    return compose(dice, rate=rate, num_frames=frames)


def annotations_of(spec: SyntheticSpec) -> dict[str, object]:
    """Return the annotation file's content."""
    database = {}
    for name in spec.names:
        scene = scene_of(spec, name)
        duration_s = scene.rate.seconds(scene.num_frames)
        database[name] = {
            "subset": "training" if name.startswith("train") else "validation",
            "duration": duration_s,
            "fps": round(scene.rate.num / scene.rate.den, 4),
            "frame": scene.num_frames,
            "annotations": [
                {"segment": [scene.rate.seconds(a.start), min(scene.rate.seconds(a.end), duration_s)], "label": a.kind}
                for a in scene.actions
            ],
        }
    return {"version": f"tadscale-synthetic-{VERSION}", "database": database}


def write_video(path: Path, scene: Scene) -> None:
    """Encode a scene; the file appears whole or not at all."""
    import av

    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".tmp")
    os.close(handle)
    rate = Fraction(scene.rate.num, scene.rate.den)
    grey = np.full((SIDE // 2, SIDE), 128, np.uint8)
    try:
        with av.open(temporary, "w", format="mp4") as file:
            stream = file.add_stream("libx264", rate=rate)
            stream.width = stream.height = SIDE
            stream.pix_fmt = "yuv420p"
            stream.options = {"preset": "ultrafast", "qp": str(QUANTISER), "g": str(KEY_FRAME_EVERY)}
            stream.codec_context.thread_count = 1
            for start in range(0, scene.num_frames, CHUNK_FRAMES):
                numbers = range(start, min(start + CHUNK_FRAMES, scene.num_frames))
                for number, luma in zip(numbers, draw(scene, numbers), strict=True):
                    frame = av.VideoFrame.from_ndarray(np.concatenate((luma, grey)), format="yuv420p")
                    frame.pts, frame.time_base = number, 1 / rate
                    file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def serve() -> None:
    """Write the videos that standard input asks for, one JSON line each: the life of a helper process."""
    for line in sys.stdin:
        job = json.loads(line)
        try:
            write_video(Path(job["path"]), scene_of(SyntheticSpec(**job["spec"]), job["name"]))
            answer = {}
        except OSError as error:
            answer = {"error": error.strerror or str(error)}
        print(json.dumps(answer), flush=True)


def _write(
    folder: Path, spec: SyntheticSpec, missing: Sequence[str], known: dict[str, list[object]], progress: Progress | None
) -> None:
    for leftover in (folder / "videos").glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
    write_json(folder / "annotations.json", annotations_of(spec))
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    videos = [name for name in missing if name.endswith(".mp4")]
    files: dict[str, list[object] | None] = {name: facts for name, facts in known.items() if name not in missing}
    for name in ("annotations.json", "classes.txt"):
        files[name] = _facts(folder / name)
    if progress:
        progress(0, len(videos))
    for done, name in enumerate(_written(folder, spec, videos), start=1):
        files[name] = _facts(folder / name)
        # After every file: what a kill leaves behind is counted and not written again.
        write_json(folder / "manifest.json", {"spec": asdict(spec), "files": files})
        if progress:
            progress(done, len(videos))
    write_json(folder / "manifest.json", {"spec": asdict(spec), "files": files})


def _written(folder: Path, spec: SyntheticSpec, videos: Sequence[str]) -> Iterator[str]:
    """Yield files as helper processes finish them, in any order."""
    count = min(MAX_HELPERS, os.cpu_count() or 1, len(videos))
    if not count:
        return
    # Plain Python processes, as in probe.py: multiprocessing would import the user's main script again. In process
    # groups of their own: a terminal's Ctrl-C is for the study, which ends them itself.
    package_root = str(Path(__file__).resolve().parents[2])
    code = f"import sys; sys.path.insert(0, {package_root!r}); from harness.data.synthetic import serve; serve()"
    helpers = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
        )
        for _ in range(count)
    ]
    free = list(helpers)

    def write(name: str) -> str:
        helper = free.pop()
        try:
            assert helper.stdin is not None
            assert helper.stdout is not None
            job = {"path": str((folder / name).absolute()), "spec": asdict(spec), "name": Path(name).stem}
            helper.stdin.write(json.dumps(job) + "\n")
            helper.stdin.flush()
            line = helper.stdout.readline()
            if not line:
                raise OSError(None, f"the process that wrote {name} ended")
            if error := json.loads(line).get("error"):
                raise OSError(None, f"{error} ({name})")
            return name
        finally:
            free.append(helper)

    try:
        with ThreadPoolExecutor(count) as threads:
            jobs = [threads.submit(write, name) for name in videos]
            try:
                for job in as_completed(jobs):
                    yield job.result()
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                for helper in helpers:
                    helper.kill()
                raise
    finally:
        for helper in helpers:
            helper.kill()
            helper.communicate()


def _facts(path: Path) -> list[object] | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return [len(data), hashlib.sha256(data).hexdigest()]


def _read_manifest(folder: Path) -> dict[str, list[object]]:
    try:
        return dict(json.loads((folder / "manifest.json").read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        # Nothing is known of the files, so all of them are written again.
        return {}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time in; where the file system has no locks, renaming alone keeps files whole."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
