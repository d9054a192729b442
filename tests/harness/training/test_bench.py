import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.config import TrialConfig, with_values
from harness.training.bench import StepTime, main, policies, run, tiny
from models.backbones.build import build_backbone
from models.config import VIDEOMAE

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


def small(placement: str) -> TrialConfig:
    window = {"frames": 32, "span": 32, "features": 32, "resolution": 32}
    changes = {f"data.window.{name}": value for name, value in window.items()}
    return with_values(tiny(placement, "fp32"), changes)  # type: ignore[arg-type]


def times_of(placement: str) -> dict[str, StepTime]:
    engines = policies(placement, "fp32", 1)  # type: ignore[arg-type]
    return {each.policy: each for each in run(small(placement), engines, CPU, steps=1, rounds=1)}


def test_every_policy_is_measured_against_the_first_and_counted() -> None:
    times = times_of("inside")
    assert times["reference"].rate_over_reference == 1
    for each in times.values():
        assert each.rate_over_reference == pytest.approx(times["reference"].seconds / each.seconds)
        assert each.share_of_matrix_rate > 0
    # Recomputation is a third forward-equivalent beside forward and backward (no weight gradients in the backbone);
    # adapters, embedding and head are not all recomputed.
    assert 1.2 < times["blocks"].flops / times["everything"].flops < 1.6
    # Between kept streams a second recomputation of every other block.
    assert times["lean"].flops < times["lean, every second"].flops < 1.3 * times["lean"].flops


def test_streaming_runs_the_frozen_backbone_twice() -> None:
    times = times_of("outside")
    backbone = build_backbone(VIDEOMAE["videomae-tiny"])
    with FlopCounterMode(display=False) as once, torch.no_grad():
        backbone(torch.zeros(1, 3, 32, 32, 32))
    assert times["streamed"].flops - times["blocks"].flops == once.get_total_flops()
    assert times["on the host"].flops == times["blocks"].flops


def test_the_command_prints_one_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("harness.training.bench.tiny", lambda placement, precision: small(placement))
    main(["--placement", "outside", "--steps", "1", "--rounds", "1", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["torch"] == torch.__version__
    assert [each["policy"] for each in printed["steps"]] == list(policies("outside", "fp32", 2))
