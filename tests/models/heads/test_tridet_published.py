import math
import re
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from models.config import VIDEOMAE, TriDetConfig
from models.heads.build import build_head
from models.heads.tridet import TriDetHead
from models.published import TRIDET


def head(config: TriDetConfig, **kwargs: Any) -> TriDetHead:
    return TriDetHead(config, **({"channels": 8, "num_classes": 3, "length": 32} | kwargs))


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "thumos", "activitynet"),
    [
        ("videomae-s", 13_433_700, 12_713_251),
        ("videomae-b", 14_023_524, 13_008_163),
        ("videomae-l", 14_416_740, 13_204_771),
        ("videomae-h", 14_809_956, 13_401_379),
        ("videomae-g", 15_006_564, 13_499_683),
    ],
)
def test_parameter_counts_are_opentads(name: str, thumos: int, activitynet: int) -> None:
    width = VIDEOMAE[name].width
    with torch.device("meta"):
        first = head(TRIDET["thumos14"], channels=width, num_classes=20, length=768)
        # OpenTAD's ActivityNet config narrows the pyramid to 256 channels and leaves the towers at 512.
        second = head(TRIDET["activitynet"], channels=width, num_classes=1, length=192)
    assert (count(first), count(second)) == (thumos, activitynet)


def test_parameter_counts_of_other_settings_are_opentads() -> None:
    with torch.device("meta"):
        noun = head(TRIDET["epic_noun"], channels=1024, num_classes=293, length=768)
        verb = head(TRIDET["epic_verb"], channels=1024, num_classes=97, length=768)
        mean = head(replace(TRIDET["thumos14"], downsampling="avg"), channels=384, num_classes=20, length=768)
        point = head(replace(TRIDET["thumos14"], boundary_kernel=1), channels=384, num_classes=20, length=768)
        i3d = head(TRIDET["thumos14"], channels=2048, num_classes=20, length=2304)
        tsp = head(TRIDET["activitynet"], channels=512, num_classes=1, length=768)
        narrow = head(replace(TRIDET["activitynet"], head_width=None), channels=384, num_classes=1, length=192)
    counts = [count(network) for network in (noun, verb, mean, point, i3d, tsp, narrow)]
    assert counts == [17_505_175, 16_628_043, 14_746_980, 11_295_588, 15_989_604, 12_811_555, 9_541_155]


@pytest.mark.parametrize("name", sorted(TRIDET))
def test_every_published_setting_builds(name: str) -> None:
    with torch.device("meta"):
        network = build_head(TRIDET[name], channels=384, num_classes=5, length=192)
    assert isinstance(network, TriDetHead)
    assert network.config is TRIDET[name]


BLOCK = ("ln", "gn", "psi", "fc", "convw", "convkw", "global_fc", "mlp.0", "mlp.2")
OPENTAD_NAMES = [
    (r"^projection\.embed\.", "pyramid.embedding."),
    (r"^projection\.(stem|branch)\.", r"pyramid.\1."),
    (r"\.ln\.", ".norm."),
    (r"\.gn\.", ".group_norm."),
    (r"\.psi\.", ".gate."),
    (r"\.fc\.", ".instant."),
    (r"\.convw\.", ".near."),
    (r"\.convkw\.", ".far."),
    (r"\.global_fc\.", ".context."),
    (r"\.downsample\.1\.", ".halving.out."),
    (r"\.drop_path_out\.scale$", ".scale1.scale"),
    (r"\.drop_path_mlp\.scale$", ".scale2.scale"),
    (r"^neck\.fpn_norms\.", "norms."),
    (r"^rpn_head\.cls_(start|end)_convs\.", r"\1.convs."),
    (r"^rpn_head\.cls_(start|end)_head\.", r"\1.out."),
    (r"^rpn_head\.cls_convs\.", "classification.convs."),
    (r"^rpn_head\.cls_head\.", "classification.out."),
    (r"^rpn_head\.reg_convs\.", "centre.convs."),
    (r"^rpn_head\.reg_head\.", "centre.out."),
    (r"^rpn_head\.loss_normalizer$", "normaliser.value"),
]


def opentad_names(config: TriDetConfig) -> set[str]:
    """Names of OpenTAD's TriDet without a backbone, as its modules are called there."""
    affine, norm = ("weight", "bias"), ("conv.weight", "norm.weight", "norm.bias")
    block = [f"{part}.{p}" for part in BLOCK for p in affine]
    branch = [*block, "drop_path_out.scale", "drop_path_mlp.scale"]
    if config.downsampling == "avg":
        branch += [f"downsample.1.{p}" for p in affine]
    towers = ("cls", "reg", "cls_start", "cls_end")
    return {
        *(f"projection.embed.{i}.{p}" for i in range(config.embed_layers) for p in norm),
        *(f"projection.stem.{i}.{p}" for i in range(config.stem_layers) for p in block),
        *(f"projection.branch.{i}.{p}" for i in range(config.levels - 1) for p in branch),
        *(f"neck.fpn_norms.{i}.{p}" for i in range(config.levels) for p in affine),
        *(f"rpn_head.{tower}_convs.{i}.{p}" for tower in towers for i in range(2) for p in norm),
        *(f"rpn_head.{tower}_head.{p}" for tower in towers for p in affine),
        *(f"rpn_head.scale.{i}.scale" for i in range(config.levels)),
        "rpn_head.loss_normalizer",
    }


def translate(name: str) -> str:
    """Our name of OpenTAD's tensor; its `rpn_head.scale.N.scale` are the entries of our `scales`."""
    if re.fullmatch(r"rpn_head\.scale\.\d+\.scale", name):
        return "scales"
    for pattern, ours in OPENTAD_NAMES:
        name = re.sub(pattern, ours, name)
    return name


@pytest.mark.parametrize("downsampling", ["max", "avg"])
def test_every_tensor_of_opentads_tridet_has_one_place_here(downsampling: Literal["max", "avg"]) -> None:
    config = replace(TRIDET["activitynet"], downsampling=downsampling)
    with torch.device("meta"):
        network = head(config, channels=384, num_classes=1, length=192)
    names = opentad_names(config)
    places = [translate(name) for name in names]
    assert set(places) == network.state_dict().keys()
    assert len(places) == len(set(places)) - 1 + config.levels


def waves(*shape: int) -> Tensor:
    return torch.arange(math.prod(shape), dtype=torch.float64).mul(0.7).sin().view(shape)


def test_numbers_are_those_of_the_published_code() -> None:
    """OpenTAD at 3dd7b03, evaluation mode, given the same weights by name; it computes the loss in float32."""
    config = TriDetConfig(
        width=16, embed_layers=1, stem_layers=1, levels=3, sgp_window=3, sgp_ratio=1.5, sgp_hidden=8, bins=4,
        label_smoothing=0.1, iou_power=0.5, normaliser_init=7.0,
    )  # fmt: skip
    network = head(config, channels=6).double().eval()
    for index, (_, parameter) in enumerate(sorted(network.named_parameters())):
        parameter.data.copy_(waves(*parameter.shape).add(0.1 * (index % 7)) * 0.5)
    features = (waves(2, 6, 32) * 2).requires_grad_()
    mask = torch.arange(32) < torch.tensor([[32], [21]])
    segments = torch.tensor([[[2.0, 6.5], [2.0, 6.5], [10.0, 24.0]], [[3.0, 12.0], [14.0, 15.0], [0, 0]]])
    losses = network.loss(features, mask, segments.double(), torch.tensor([[0, 1, 2], [1, 0, -1]]))
    assert losses["positives"] == 13
    assert losses["classification"].item() == pytest.approx(43.605686, rel=1e-6)
    assert losses["regression"].item() == pytest.approx(0.5294117, rel=1e-6)

    losses["loss"].backward()
    assert features.grad is not None
    assert features.grad.abs().sum().item() == pytest.approx(0.1336294, rel=5e-5)
    gradients = dict.fromkeys(
        ["pyramid.embedding", "pyramid.stem", "pyramid.branch", "norms", "start", "end", "scales"], 0.0
    )
    gradients |= {"classification": 0.0, "centre": 0.0}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        part = next(part for part in gradients if name.startswith(part))
        gradients[part] += parameter.grad.abs().sum().item()
    assert gradients == pytest.approx(
        {
            "pyramid.embedding": 198.381594, "pyramid.stem": 27.846834, "pyramid.branch": 39.317757, "norms": 74.678369,
            "classification": 573.587937, "centre": 0.9488899, "start": 1.1798371, "end": 1.1416324,
            "scales": 0.0621401,
        },
        rel=5e-5,
    )  # fmt: skip

    found = network(features, mask)
    expected = {
        (0, 5): [[2.2301, 2.0198], [1.4956, 1.8892], [2.3615, 2.1120]],
        (1, 20): [[2.4092, 1.5328], [2.1820, 0.8396], [1.2962, 1.6842]],
        (0, 40): [[2.0748, 2.3395], [1.9898, 2.4812], [2.0738, 2.3578]],
        (1, 50): [[0.9443, 1.3402], [0.9575, 1.9185], [3.3672, 2.4331]],
    }
    for (sample, point), offsets in expected.items():
        torch.testing.assert_close(found.offsets[sample, point].float(), torch.tensor(offsets), atol=6e-5, rtol=0)
    scores = network.detect(features, mask).scores
    torch.testing.assert_close(scores[0, 5], torch.tensor([0.3098, 0.9947, 0.1675]), atol=6e-5, rtol=0)
