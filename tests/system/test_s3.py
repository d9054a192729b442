"""A study whose tables are on an S3 store (moto's server on this machine; skipped where moto is not installed)."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from harness.cli import lease
from harness.cli.claims import Claim, Claims
from harness.cli.lease import one_machine
from harness.cli.options import UserError, below
from harness.tables import load
from harness.tables.storage import place_of

ROOT = Path(__file__).resolve().parents[2]
GRID = [
    *("--set", "data.window.span=64", "--set", "data.window.features=32", "--set", "model.head.levels=3"),
    *("--set", "data.window.frames=16,32", "--set", "data.window.resolution=32", "--seeds", "1"),
    *("--set", "training.epochs=1", "--set", "training.warmup_epochs=0"),
]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = pytest.importorskip("moto.server", reason="needs moto, flask and flask-cors (the dev group has them)")
    from werkzeug.serving import make_server

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    app = server.DomainDispatcherApplication(server.create_backend_app)
    listening = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    where = f"?scheme=http&endpoint_override=127.0.0.1:{listening.server_port}&region=us-east-1"
    made = place_of(f"s3://bucket{where}&allow_bucket_creation=true")
    made.filesystem.create_dir("bucket")
    yield f"s3://bucket/lab{where}"
    with contextlib.suppress(OSError):
        listening.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_a_study_that_another_driver_runs_on_the_same_prefix_is_refused(bucket: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "studies/scale_frames.py"), "--quick", "--storage", bucket]
    with one_machine(below(bucket, "scale_frames"), pytest.fail):
        refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert refused.returncode == 2
    assert "s3://bucket/lab/scale_frames is in use: process" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.filterwarnings("ignore")
def test_the_stores_own_clock_says_who_is_gone(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study = place_of(below(bucket, "s"))
    gone = Claim(machine="another-machine", host="beta", held=True)
    Claims(study).write(gone)
    with pytest.raises(UserError, match="on beta"), one_machine(study, pytest.fail):
        pass
    time.sleep(2.0)
    monkeypatch.setattr(lease, "STALE_S", 0.5)
    with one_machine(study, pytest.fail):
        assert gone.name not in Claims(study).read()
        assert len(Claims(study).read()) == 1
    assert not Claims(study).read()


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_a_studys_tables_lie_on_s3_and_a_second_run_finds_them(small_world, bucket: str, tmp_path: Path) -> None:
    import torch

    from models.backbones.videomae import VideoMAE
    from models.checkpoints import save_backbone
    from models.config import VIDEOMAE

    torch.manual_seed(0)
    save_backbone(tmp_path / "videomae-tiny.pth", VideoMAE(VIDEOMAE["videomae-tiny"]).state_dict())
    command = [
        *(
            sys.executable,
            str(ROOT / "studies/scale_frames.py"),
            "--on",
            "custom",
            "--data-root",
            str(small_world.root),
        ),
        *("--preset", "tiny", "--weights", str(tmp_path / "videomae-tiny.pth"), *GRID, "--storage", bucket),
    ]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:]
    assert [row["state"] for row in load(bucket).to_pylist()] == ["finished"] * 2
    assert not list(tmp_path.rglob("*.parquet"))
    assert "s3://bucket/lab/scale_frames/*.parquet" in first.stdout
    assert (tmp_path / "results/scale_frames/report.html").is_file()
    study = place_of(below(bucket, "scale_frames"))
    assert not Claims(study).read(), "the driver is gone and holds nothing"
    selector = fs.FileSelector(study.path, recursive=True)
    copied = [info.base_name for info in study.filesystem.get_file_info(selector) if "/work/" in info.path]
    assert copied.count("detections.json") == 2
    assert "checkpoint.pt" not in copied
    assert len(list((tmp_path / "results/scale_frames/tensorboard").iterdir())) == 2
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0
    assert "all 2 trials are done" in again.stdout
