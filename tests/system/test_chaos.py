"""Random kills of everything a study consists of; the table that is left equals that of a study nobody disturbed.

Seeded. `TADSCALE_KILLS` sets how many; six took seven minutes on two loaded cores.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from harness.tables import load

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("TADSCALE_KILLS", "30"))
GRID = [
    *("--set", "data.window.span=64", "--set", "data.window.features=32", "--set", "model.head.levels=3"),
    *("--set", "data.window.frames=16,32,64", "--set", "data.window.resolution=32", "--seeds", "2"),
    *("--set", "training.epochs=8"),
]
TARGETS = {
    "worker": ("RayTrainWorker",),
    "trial driver": ("ImplicitFunc", "relay"),
    "board": ("BoardActor",),
    "raylet": ("/raylet/raylet",),
    "head": ("gcs_server",),
    "study": (),
}
"""What is killed: words of which one stands in the process's command line."""


def start(arguments: Sequence[str], results: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "studies/scale_frames.py"), *arguments, "--results", str(results)]
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)


def family(study: subprocess.Popen[bytes], words: Sequence[str]) -> list[psutil.Process]:
    """Return the study's processes whose command line has one of the words; without words the study itself."""
    me = psutil.Process(study.pid)
    if not words:
        return [me]
    found = []
    for child in me.children(recursive=True):
        try:
            if any(word in " ".join(child.cmdline()) for word in words):
                found.append(child)
        except psutil.Error:
            continue
    return found


def scores(results: Path) -> dict[str, float]:
    return {row["digest"]: row["map_avg"] for row in load(results).to_pylist() if row["state"] == "finished"}


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(3600)
def test_kills_at_random_change_no_number_and_lose_no_row(small_world, tmp_path: Path) -> None:
    import torch

    from models.backbones.videomae import VideoMAE
    from models.checkpoints import save_backbone
    from models.config import VIDEOMAE

    torch.manual_seed(0)
    save_backbone(tmp_path / "videomae-tiny.pth", VideoMAE(VIDEOMAE["videomae-tiny"]).state_dict())
    arguments = [
        *("--on", "custom", "--data-root", str(small_world.root), "--preset", "tiny"),
        *("--weights", str(tmp_path / "videomae-tiny.pth"), *GRID),
    ]
    assert start(arguments, tmp_path / "whole", tmp_path / "whole.log").wait(timeout=600) == 0
    chance = random.Random(0)
    log = tmp_path / "chaos.log"
    killed: list[str] = []
    study: subprocess.Popen[bytes] | None = None
    while len(killed) < KILLS:
        if study is None or study.poll() is not None:
            study = start(["--fresh", *arguments] if len(scores(tmp_path / "parts")) == 6 else arguments,
                          tmp_path / "parts", log)  # fmt: skip
        time.sleep(chance.uniform(5, 30))
        kind = chance.choice(list(TARGETS))
        victims = family(study, TARGETS[kind]) if study.poll() is None else []
        if victims:
            chance.choice(victims).kill()
            killed.append(kind)
            print(f"killed {len(killed)}: {kind}", flush=True)
    if study is not None:
        study.wait(timeout=300)
    for _ in range(3):
        if start(arguments, tmp_path / "parts", log).wait(timeout=600) == 0:
            break
    assert scores(tmp_path / "parts") == scores(tmp_path / "whole")
    finished = [row["digest"] for row in load(tmp_path / "parts").to_pylist() if row["state"] == "finished"]
    assert len(finished) == len(set(finished)) == 6
