"""What the README says of the synthetic task, measured anew: more frames and more pixels help, and so does TIA."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest

ROOT = Path(__file__).resolve().parents[2]


def study(results: Path, *options: str) -> dict[tuple[int, int], list[float]]:
    """Run the study; return the mAP of every seed by (frames, resolution)."""
    command = [sys.executable, str(ROOT / "studies/scale_frames.py"), "--json", "--results", str(results), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=1800)
    found: dict[tuple[int, int], list[float]] = {}
    for trial in json.loads(done.stdout)["trials"]:
        assert abs(trial["predicted_peak_bytes"] / trial["peak_bytes"] - 1) < 0.05
        key = (trial["data.window.frames"], trial["data.window.resolution"])
        found.setdefault(key, []).append(trial["map_avg"])
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_more_frames_and_more_pixels_raise_map(tmp_path: Path):
    maps = {key: mean(values) for key, values in study(tmp_path).items()}
    for resolution in (32, 48):
        assert maps[32, resolution] <= maps[64, resolution] <= maps[128, resolution]
    assert maps[128, 48] > maps[32, 32] + 0.1
    assert mean(maps[f, 48] for f in (32, 64, 128)) > mean(maps[f, 32] for f in (32, 64, 128))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_adapters_beat_the_frozen_backbone(tmp_path: Path):
    setting = [
        *("--set", "data.window.frames=128", "--set", "data.window.resolution=48"),
        *("--set", "training.epochs=40", "--set", "training.cosine_epochs=40", "--set", "training.adapter_lr=0.006"),
    ]
    frozen = ["--set", "model.tuning=frozen", "--set", "model.adapter=none"]
    (adapters,) = study(tmp_path / "tia", *setting).values()
    (without,) = study(tmp_path / "frozen", *setting, *frozen).values()
    assert mean(adapters) > mean(without) + 0.03
