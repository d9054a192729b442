import os
import pickle
from pathlib import Path

import pytest
import torch

from models.backbones.videomae import ClipClassifier, VideoMAE
from models.checkpoints import load_backbone, save_backbone
from models.config import AdapterConfig, VideoMAEConfig


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    theirs = second.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in first.state_dict().items())


def test_a_classifier_fills_a_backbone_bit_for_bit(backbone_config: VideoMAEConfig, tmp_path: Path) -> None:
    classifier = ClipClassifier(backbone_config, 5)
    save_backbone(tmp_path / "deep" / "weights.pth", classifier.state_dict())
    backbone, again = VideoMAE(backbone_config), ClipClassifier(backbone_config, 5)
    assert not same(backbone, classifier)
    load_backbone(backbone, tmp_path / "deep" / "weights.pth")
    load_backbone(again, tmp_path / "deep" / "weights.pth")
    assert same(backbone, classifier)
    assert same(again, classifier)
    assert os.listdir(tmp_path / "deep") == ["weights.pth"]


@pytest.mark.parametrize("container", ["module", "model", None])
def test_published_containers_are_read(backbone_config: VideoMAEConfig, tmp_path: Path, container: str | None) -> None:
    state = VideoMAE(backbone_config).state_dict() | {"pos_embed": torch.zeros(1, 128, 16)}
    torch.save({container: state, "epoch": 3} if container else state, tmp_path / "w.pth")
    backbone = VideoMAE(backbone_config)
    load_backbone(backbone, tmp_path / "w.pth")
    assert all(torch.equal(value, state[name]) for name, value in backbone.state_dict().items())


def test_adapters_keep_their_values(backbone_config: VideoMAEConfig, tmp_path: Path) -> None:
    bare, adapted = VideoMAE(backbone_config), VideoMAE(backbone_config, AdapterConfig())
    before = {name: value.clone() for name, value in adapted.state_dict().items() if ".adapter." in name}
    save_backbone(tmp_path / "w.pth", bare.state_dict())
    load_backbone(adapted, tmp_path / "w.pth")
    assert same(bare, adapted)
    assert all(torch.equal(value, adapted.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("blocks.2.attn.q_bias"), r"lacks blocks\.2\.attn\.q_bias; .* MCG-NJU layout"),
        (lambda s: s.update({"norm.weight": torch.ones(16)}), r"lacks nothing; it has unknown norm\.weight"),
        (
            lambda s: s.update({"blocks.0.norm1.weight": torch.ones(8)}),
            r"norm1\.weight has shape \(8,\), expected \(16,\)",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(
    backbone_config: VideoMAEConfig, tmp_path: Path, change: object, message: str
) -> None:
    state = dict(VideoMAE(backbone_config).state_dict())
    change(state)  # type: ignore[operator]
    save_backbone(tmp_path / "w.pth", state)
    backbone = VideoMAE(backbone_config)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_backbone(backbone, tmp_path / "w.pth")
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


@pytest.mark.parametrize(
    ("prefix", "layout"),
    [("videomae.encoder.", "Hugging Face"), ("backbone.", "mmaction2 or OpenTAD"), ("strange.", "none that is known")],
)
def test_another_layout_is_recognised(
    backbone_config: VideoMAEConfig, tmp_path: Path, prefix: str, layout: str
) -> None:
    state = {f"{prefix}{name}": value for name, value in VideoMAE(backbone_config).state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=f"has unknown {prefix}.* more; its keys look like .*{layout}"):
        load_backbone(VideoMAE(backbone_config), tmp_path / "w.pth")


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_runs_code_is_refused(backbone_config: VideoMAEConfig, tmp_path: Path, legacy: bool) -> None:
    bomb, path = Malicious(tmp_path / "exploded"), tmp_path / "w.pth"
    if legacy:
        path.write_bytes(pickle.dumps({"module": bomb}))
    else:
        torch.save({"module": bomb}, path)
    with pytest.raises(ValueError, match="refused"):
        load_backbone(VideoMAE(backbone_config), path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"hello"])
def test_a_broken_file_is_a_clear_error(backbone_config: VideoMAEConfig, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.pth"):
        load_backbone(VideoMAE(backbone_config), tmp_path / "w.pth")


def test_a_missing_file_is_a_clear_error(backbone_config: VideoMAEConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        load_backbone(VideoMAE(backbone_config), tmp_path / "none.pth")


@pytest.mark.parametrize("content", [[1, 2], {}, {"module": {}}, {"module": {"a": 1}}, {1: torch.ones(1)}])
def test_a_file_without_named_tensors_is_a_clear_error(
    backbone_config: VideoMAEConfig, tmp_path: Path, content: object
) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"expected a (dict of named tensors|tensor under a name)"):
        load_backbone(VideoMAE(backbone_config), tmp_path / "w.pth")
