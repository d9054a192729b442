"""A trial ends in exactly one row, whatever happens to it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.config import TrialConfig
from harness.memory.predict import trace
from harness.tables import load
from harness.training.report import SilentReporter
from harness.trial import TrialJob, ended_without_row, execute
from models.config import EngineConfig, GTADConfig, SlowFastConfig, TriDetConfig, VideoSwinConfig

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL_SLOWFAST = SlowFastConfig(name="slowfast-test", blocks=(1, 1, 1, 1), width=8, channel_ratio=4)
SMALL_SWIN = VideoSwinConfig(name="swin-test", width=8, blocks=(1, 2), heads=(1, 2), window=(2, 2, 2))


def job(small_world, config: TrialConfig, results: Path, **changes: object) -> TrialJob:
    values = {
        "study": "test",
        "name": "one",
        "config": config,
        "attempt": 1,
        "results": results,
        "dataset": small_world.index,
        "weights": None,
        "device": "cpu",
        "threads": 1,
        "data_workers": 0,
        "predicted_peak_bytes": None,
        "slot": "inline",
        "provenance": {"git_commit": "abc", "argv": ["test"]},
        **changes,
    }
    return TrialJob(**values)  # type: ignore[arg-type]


def test_a_job_survives_json(small_world, small_trial: TrialConfig, tmp_path: Path):
    before = job(small_world, small_trial, tmp_path)
    assert TrialJob.from_json(json.loads(json.dumps({**before.to_json(), "hand_out": 2}))) == before


def test_a_finished_trial_leaves_one_complete_row_and_no_checkpoint(
    small_world, small_trial: TrialConfig, tmp_path: Path
):
    predicted = trace(small_trial).peak_bytes
    trial = job(small_world, small_trial, tmp_path, predicted_peak_bytes=predicted)
    summary = execute(trial.to_json(), SilentReporter())
    (row,) = load(tmp_path).to_pylist()
    assert summary["state"] == row["state"] == "finished"
    assert 0 <= row["map_avg"] <= 1
    assert [tiou for tiou, _ in row["map_at"]] == ["0.3", "0.4", "0.5", "0.6", "0.7"]
    assert row["data.window.frames"] == 32
    assert row["model.adapter.kernel"] == 3
    assert row["peak_bytes"] == pytest.approx(predicted, rel=0.05)
    assert row["memory_source"] == "cpu_tracker"
    assert row["epochs_done"] == 3
    assert not (trial.work / "checkpoint.pt").exists()
    detections = json.loads((trial.work / "detections.json").read_text())
    assert set(detections["results"]) == {"video_6", "video_7", "video_8"}


@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [
        ({"engine.keep": "blocks"}, 0.02),
        ({"model.adapter.placement": "outside"}, 0.02),
        ({"model.tuning": "frozen", "model.adapter": None}, 0.02),
        ({"model.tuning": "full", "model.adapter": None}, 0.02),
        ({"data.window.frames": 64, "model.adapter.kernel": 7}, 0.02),
        ({"training.precision": "bf16"}, 0.02),
        ({"training.batch_size": 3, "model.head.attention_window": 5}, 0.02),
        ({"model.tuning": "features", "model.adapter": None}, 0.02),
        ({"model.representation.kind": "snippet", "model.representation.snippet_stride": 8}, 0.02),
        ({"model.adapter.spatial_kernel": 3, "model.adapter.layers": (1,)}, 0.02),
        ({"model.adapter.kind": "longlora"}, 0.02),
        ({"model.adapter.kind": "longlora", "model.adapter.placement": "outside"}, 0.02),
        ({"model.backbone": SMALL_SLOWFAST, "data.window.resolution": 32}, 0.02),
        ({"model.backbone": SMALL_SWIN, "model.adapter.placement": "outside"}, 0.02),
        ({"model.head": TriDetConfig(width=16, levels=3, sgp_hidden=16, bins=4)}, 0.02),
        ({"model.head": GTADConfig(graph_width=16, map_width=32, map_hidden=8, longest=16)}, 0.02),
    ],
)
def test_predicted_and_measured_memory_agree(small_world, small_trial, tmp_path: Path, changes, tolerance: float):
    from harness.config import with_values

    config = with_values(small_trial, {**changes, "training.epochs": 1, "training.warmup_epochs": 0})
    summary = execute(job(small_world, config, tmp_path).to_json(), SilentReporter())
    assert summary["state"] == "finished", summary["error"]
    assert summary["peak_bytes"] == pytest.approx(trace(config).peak_bytes, rel=tolerance)


def test_an_exception_is_a_row_with_one_line_and_a_traceback_on_disk(
    small_world, small_trial: TrialConfig, tmp_path: Path
):
    broken = job(small_world, small_trial, tmp_path, weights=tmp_path / "missing.pth")
    summary = execute(broken.to_json(), SilentReporter())
    (row,) = load(tmp_path).to_pylist()
    assert row["state"] == summary["state"] == "failed"
    assert "missing.pth" in row["error"]
    assert "\n" not in row["error"]
    assert "Traceback" in (broken.work / "traceback-1.txt").read_text()


def test_out_of_memory_is_a_row_of_its_own_kind(small_world, small_trial, tmp_path: Path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr("harness.training.loop.train_step", full)
    execute(job(small_world, small_trial, tmp_path).to_json(), SilentReporter())
    (row,) = load(tmp_path).to_pylist()
    assert row["state"] == "out_of_memory"
    assert "20 GiB" in row["error"]


def test_a_trial_whose_prediction_was_wrong_falls_back_to_a_leaner_policy_once(
    small_world, small_trial, tmp_path: Path, monkeypatch
):
    from harness.config import with_values
    from harness.memory.ladder import ladder
    from harness.training import loop

    config = with_values(small_trial, {"engine": EngineConfig(policy="auto"), "training.epochs": 1})
    config = with_values(config, {"training.warmup_epochs": 0})
    fast, lean, *_ = ladder(config)
    real, policies = loop.train_step, []

    def too_much_at_first(trainee, *arguments):
        policies.append(trainee.detector.engine)
        if trainee.detector.engine == fast:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(trainee, *arguments)

    monkeypatch.setattr(loop, "train_step", too_much_at_first)
    execute(job(small_world, config, tmp_path, engine=fast).to_json(), SilentReporter())
    (row,) = load(tmp_path).to_pylist()
    assert row["state"] == "finished"
    assert EngineConfig(**json.loads(row["engine_used"])) == lean
    assert EngineConfig(**json.loads(row["engine_planned"])) == fast
    assert row["engine.policy"] == "auto"
    assert set(policies) == {fast, lean}


def test_a_policy_that_was_asked_for_is_not_exchanged(small_world, small_trial, tmp_path: Path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("harness.training.loop.train_step", full)
    execute(job(small_world, small_trial, tmp_path).to_json(), SilentReporter())
    (row,) = load(tmp_path).to_pylist()
    assert row["state"] == "out_of_memory"
    assert row["engine_planned"] is None
    assert EngineConfig(**json.loads(row["engine_used"])) == small_trial.engine


def test_a_loss_that_is_not_a_number_is_a_failed_row(small_world, small_trial, tmp_path: Path):
    wild = replace(small_trial, training=replace(small_trial.training, head_lr=1e30, clip_norm=1e30, warmup_epochs=0))
    execute(job(small_world, wild, tmp_path).to_json(), SilentReporter())
    (row,) = load(tmp_path).to_pylist()
    assert row["state"] == "failed"
    assert "not a number" in row["error"]


def test_an_interrupted_trial_has_a_row_and_goes_on_as_another_attempt(small_world, small_trial, tmp_path: Path):
    class Stop(SilentReporter):
        def should_stop(self) -> bool:
            return True

    execute(job(small_world, small_trial, tmp_path).to_json(), Stop())
    execute(job(small_world, small_trial, tmp_path, attempt=2).to_json(), SilentReporter())
    rows = sorted(load(tmp_path).to_pylist(), key=lambda row: row["attempt"])
    assert [row["state"] for row in rows] == ["interrupted", "finished"]


def test_a_trial_whose_process_is_gone_gets_its_row_from_the_driver(small_world, small_trial, tmp_path: Path):
    ended_without_row(job(small_world, small_trial, tmp_path), "too_large", "predicted to need 99 GiB")
    (row,) = load(tmp_path).to_pylist()
    assert (row["state"], row["error"]) == ("too_large", "predicted to need 99 GiB")
    assert row["map_avg"] is None


def test_a_trial_whose_worker_died_after_its_row_is_not_run_again(
    small_world, small_trial: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trial = job(small_world, small_trial, tmp_path)
    said = execute(trial.to_json(), SilentReporter())
    monkeypatch.setattr("harness.training.loop.fit", None)
    assert execute({**trial.to_json(), "hand_out": 2}, SilentReporter()) == said
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_a_row_comes_after_its_curves(
    small_world, small_trial: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def die(folder: Path, row: dict[str, object]) -> None:
        raise SystemExit

    monkeypatch.setattr("harness.trial.write_row", die)
    trial = job(small_world, small_trial, tmp_path)
    with pytest.raises(SystemExit):
        execute(trial.to_json(), SilentReporter())
    assert len(list(tmp_path.glob("curves/*.parquet"))) == 1
    assert (trial.work / "checkpoint.pt").exists()
