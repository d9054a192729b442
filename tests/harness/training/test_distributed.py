"""Two processes train as one: equal weights on both, and gradients that are those of the joined batch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import TrialConfig, flatten, with_values

FIT = """
import json, sys
import torch
import torch.distributed as dist
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
from pathlib import Path
from harness.config import unflatten
from harness.training.loop import Places, fit
from harness.training.report import NoMeter, SilentReporter
config = unflatten(json.loads(Path(folder, "config.json").read_text()))
places = Places(dataset=Path(sys.argv[3]), weights=None, work=Path(folder), validate_every=int(sys.argv[4]))
done = fit(config, places, SilentReporter(rank=rank, world_size=2), NoMeter())
print(json.dumps({"map": done.result.map_avg, "ap": done.result.ap_mean, "videos": done.result.num_videos,
                  "curve": done.curve}))
state = torch.load(Path(folder, "checkpoint.pt"), weights_only=True)
dist.destroy_process_group()
"""

GRADIENTS = """
import sys
import torch
import torch.distributed as dist
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
from harness.training.distributed import average_gradients, broadcast_parameters
torch.manual_seed(rank)
layer = torch.nn.Linear(5, 3).double()
unused = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
parameters = [*layer.parameters(), unused]
broadcast_parameters(parameters)
inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
layer(inputs[rank::2]).square().mean().backward()
average_gradients(parameters)
shared = [p.grad.clone() for p in layer.parameters()]
layer.zero_grad()
layer(inputs).square().mean().backward()
assert all(torch.allclose(a, p.grad, rtol=1e-12, atol=0) for a, p in zip(shared, layer.parameters()))
assert torch.equal(unused.grad, torch.zeros_like(unused))
dist.destroy_process_group()
print("equal")
"""

POLICY_GRADIENTS = """
import sys
import torch
import torch.distributed as dist
rank, folder, placement = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
from harness.training.distributed import average_gradients
from models.config import ActionFormerConfig, AdapterConfig, DetectorConfig, EngineConfig, VideoMAEConfig
from models.detector import build_detector
backbone = VideoMAEConfig(name="toy", width=16, depth=3, heads=2, mlp_hidden=24, patch=8, image_size=16, clip_frames=4)
head = ActionFormerConfig(width=8, levels=2)
config = DetectorConfig(backbone=backbone, adapter=AdapterConfig(placement=placement), head=head)
lean = {"clips": 1, "inputs_on": "host", **({"keep": "nothing"} if placement == "outside" else {"keep_on": "host"})}
frames = torch.randint(0, 256, (2, 3, 12, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
gradients = []
for engine, shown in ((EngineConfig(**lean), frames[rank::2]), (EngineConfig(keep="everything"), frames)):
    torch.manual_seed(0)
    detector = build_detector(config, num_classes=2, features=8, resolution=16, engine=engine).double()
    trained = [p for name, p in detector.named_parameters() if "adapter" in name]
    for parameter in trained:
        torch.nn.init.normal_(parameter, std=0.1)
    detector.features(shown, 8).square().mean().backward()
    if len(gradients) == 0:
        average_gradients(trained)
    gradients.append([p.grad for p in trained])
assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(*gradients))
assert any(grad.abs().max() > 0 for grad in gradients[0])
dist.destroy_process_group()
print("equal")
"""
STOP = """
import json, sys
import torch
import torch.distributed as dist
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
from pathlib import Path
from harness.config import unflatten
from harness.training.loop import Places, fit
from harness.training.report import Interrupted, NoMeter, SilentReporter
class Stopped(SilentReporter):
    def should_stop(self):
        return self.rank == 0  # only the first rank hears of it
config = unflatten(json.loads(Path(folder, "config.json").read_text()))
places = Places(dataset=Path(sys.argv[3]), weights=None, work=Path(folder))
try:
    fit(config, places, Stopped(rank=rank, world_size=2), NoMeter())
except Interrupted as stop:
    print(json.dumps(str(stop)))
dist.destroy_process_group()
"""


def run_pair(script: str, *arguments: str) -> list[str]:
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(rank), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    outputs = [process.communicate(timeout=600) for process in pair]
    for process, (_, errors) in zip(pair, outputs, strict=True):
        assert process.returncode == 0, errors[-2000:]
    return [output.strip().splitlines()[-1] for output, _ in outputs]


def test_averaged_gradients_are_those_of_the_joined_batch(tmp_path: Path):
    assert run_pair(GRADIENTS, str(tmp_path)) == ["equal", "equal"]


@pytest.mark.parametrize("placement", ["inside", "outside"])
def test_lean_policies_on_two_ranks_give_the_plain_gradients_of_the_joined_batch(tmp_path: Path, placement: str):
    assert run_pair(POLICY_GRADIENTS, str(tmp_path), placement) == ["equal", "equal"]


def test_two_ranks_agree_on_everything(small_world, small_trial: TrialConfig, tmp_path: Path):
    config = replace(small_trial, training=replace(small_trial.training, epochs=2))
    (tmp_path / "config.json").write_text(json.dumps(flatten(config)))
    one, other = map(json.loads, run_pair(FIT, str(tmp_path), str(small_world.index), "0"))
    assert one.pop("curve") != other.pop("curve"), "each has the losses of its own part of the batches"
    assert one == other
    assert one["videos"] == 3


def test_two_ranks_agree_on_scores_between_epochs_which_change_nothing(
    small_world, small_trial: TrialConfig, tmp_path: Path
):
    config = with_values(small_trial, {"training.epochs": 2, "evaluation.tious": (0.05, 0.1)})
    found = []
    for every in ("0", "1"):
        (tmp_path / every).mkdir()
        (tmp_path / every / "config.json").write_text(json.dumps(flatten(config)))
        found.append(list(map(json.loads, run_pair(FIT, str(tmp_path / every), str(small_world.index), every))))
    plain, scored = found
    ours, theirs = ([entry.pop("map_avg") for entry in one["curve"]] for one in scored)
    assert ours == theirs
    assert all(score > 0 for score in ours)
    assert scored == plain


def test_a_batch_that_ranks_cannot_share_is_refused(small_world, small_trial: TrialConfig, tmp_path: Path):
    from harness.training.loop import Places, fit
    from harness.training.report import NoMeter, SilentReporter

    places = Places(dataset=small_world.index, weights=None, work=tmp_path)
    with pytest.raises(ValueError, match=r"training.batch_size is 2, expected a multiple of the 3 workers"):
        fit(small_trial, places, SilentReporter(world_size=3), NoMeter())


def test_two_ranks_stop_together_in_an_epoch_of_few_steps(small_world, small_trial: TrialConfig, tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(flatten(small_trial)))
    one, other = map(json.loads, run_pair(STOP, str(tmp_path), str(small_world.index)))
    assert one == other == "stopped in epoch 1 of 3"
    assert (tmp_path / "checkpoint.pt").is_file()
