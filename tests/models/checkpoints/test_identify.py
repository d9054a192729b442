"""What a file is said to be, and that what is called usable loads and what is not does not."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.backbones.build import build_backbone
from models.checkpoints import identify, load_backbone, save_backbone
from models.config import BACKBONES, VIDEOMAE, VideoMAEConfig

Makers = Mapping[str, Callable[[VideoMAEConfig], dict[str, Tensor]]]
TINY = VIDEOMAE["videomae-tiny"]
NAMES = {
    "authors": "authors' layout (MCG-NJU, OpenGVLab), which is also ours",
    "authors_pretraining": "VideoMAE pre-training in its authors' layout",
    "mmaction2": "VideoMAE as mmaction2 and OpenTAD name it",
    "transformers_4": "VideoMAE as Hugging Face transformers name it",
    "transformers_5": "VideoMAE as Hugging Face transformers name it",
    "transformers_4_pretraining": "VideoMAE pre-training as Hugging Face transformers name it",
    "transformers_5_bare": "VideoMAE as Hugging Face transformers name it",
}


@pytest.mark.parametrize("layout", list(NAMES))
def test_every_layout_is_named_and_fits_its_backbone(tmp_path: Path, videomae_files: Makers, layout: str) -> None:
    tensors = videomae_files[layout](TINY)
    found = identify(tensors)
    assert NAMES[layout] in found.layout
    assert (found.family, found.backbones, found.nearest, found.problem) == (
        "videomae",
        ("videomae-tiny",),
        "videomae-tiny",
        "",
    )
    assert (found.num_tensors, found.dtypes, found.container) == (len(tensors), ("float32",), "")
    assert found.num_values == sum(value.numel() for value in tensors.values())
    assert ("pre-training file" in found.note) == ("pretraining" in layout)
    assert ("config.json is not read" in found.note) == ("transformers" in layout)
    torch.save(tensors, tmp_path / "w.pth")
    assert identify(tmp_path / "w.pth") == found


def test_what_is_left_out_is_listed_by_its_reason(videomae_files: Makers) -> None:
    ignored = identify(videomae_files["mmaction2"](TINY)).ignored
    assert ignored == {
        "part of the classifier": ("fc_norm.weight", "fc_norm.bias", "cls_head.fc_cls.weight", "cls_head.fc_cls.bias"),
        "the fixed position table, computed here": ("pos_embed",),
    }
    pretraining = identify(videomae_files["authors_pretraining"](TINY)).ignored
    assert set(pretraining) == {
        "part of the pre-training decoder",
        "a norm after the last block, which features do not pass through",
    }


@pytest.mark.parametrize("name", list(BACKBONES))
def test_every_named_backbone_is_recognised_by_its_shapes(name: str) -> None:
    with torch.device("meta"):
        state = build_backbone(BACKBONES[name]).state_dict()
    found = identify(state)
    # Where two names are one network that is drawn or regularised otherwise, the file fits both.
    assert name in found.backbones
    assert found.family == BACKBONES[name].kind


@pytest.mark.parametrize("name", list(VIDEOMAE))
def test_a_videomae_fits_one_size_only(name: str) -> None:
    with torch.device("meta"):
        state = build_backbone(BACKBONES[name]).state_dict()
    assert identify(state).backbones == (name,)


@pytest.mark.parametrize(
    ("layout", "change", "problem"),
    [
        ("authors", {"blocks.1.attn.v_bias": None}, "compared with videomae-tiny, it lacks blocks.1.attn.v_bias"),
        ("mmaction2", {"backbone.pos_embed": torch.randn(1, 72, 96)}, "pos_embed holds learned positions"),
        (
            "authors",
            {"patch_embed.proj.bias": torch.full((96,), torch.nan)},
            "not numbers are the values of patch_embed",
        ),
        ("transformers_4", {"videomae.embeddings.cls_token": torch.ones(1)}, "unknown videomae.embeddings.cls_token"),
    ],
)
def test_what_is_not_usable_says_so_and_does_not_load(
    tmp_path: Path, videomae_files: Makers, layout: str, change: dict[str, Tensor | None], problem: str
) -> None:
    changed = {**videomae_files[layout](TINY), **change}
    save_backbone(tmp_path / "w.pth", {name: value for name, value in changed.items() if value is not None})
    found = identify(tmp_path / "w.pth")
    assert problem in found.problem
    assert (found.backbones, found.nearest, found.container) == ((), "videomae-tiny", "module")
    with pytest.raises(ValueError, match=r"does not fit videomae-tiny"):
        load_backbone(build_backbone(TINY), tmp_path / "w.pth")


def test_a_wanted_backbone_decides(videomae_files: Makers) -> None:
    tensors = videomae_files["authors"](TINY)
    assert identify(tensors, backbone="videomae-tiny").problem == ""
    small = identify(tensors, backbone="videomae-s")
    assert small.problem.startswith("compared with videomae-s, it lacks blocks.4.norm1.weight")
    assert small.backbones == ("videomae-tiny",)
    assert identify(tensors, backbone="slowfast-r50").problem.endswith("expected weights of slowfast")
    with pytest.raises(ValueError, match="the backbone is vit, expected one of videomae-tiny, videomae-s"):
        identify(tensors, backbone="vit")


def test_a_size_without_a_name_is_compared_with_the_nearest(videomae_files: Makers) -> None:
    with torch.device("meta"):
        giant = build_backbone(replace(VIDEOMAE["videomae-g"], depth=3)).state_dict()
    assert identify(giant).nearest == "videomae-g"
    found = identify(videomae_files["authors"](replace(TINY, depth=3)))
    assert (found.nearest, found.backbones) == ("videomae-tiny", ())
    assert "it lacks blocks.3.norm1.weight" in found.problem


def test_unknown_keys_are_shown() -> None:
    found = identify({"a.weight": torch.ones(2), "b": torch.ones(1).half()})
    assert (found.layout, found.problem) == ("", "its keys are of no layout that is known: a.weight, b")
    assert found.dtypes == ("float16", "float32")


def test_numbers_beside_the_tensors_are_kept(tmp_path: Path, videomae_files: Makers) -> None:
    content = {"model": videomae_files["authors"](TINY), "epoch": 89, "optimizer": {}, "name": "run"}
    torch.save(content, tmp_path / "w.pth")
    assert identify(tmp_path / "w.pth").facts == {"epoch": 89, "name": "run"}


@pytest.mark.parametrize("seed", range(40))
def test_what_is_called_usable_loads_and_what_is_not_changes_nothing(
    tmp_path: Path, videomae_files: Makers, damage: Callable[..., dict[str, Tensor]], seed: int
) -> None:
    dice = random.Random(seed)
    torch.save(damage(dice.choice(list(videomae_files.values()))(TINY), dice), tmp_path / "w.pth")
    found, backbone = identify(tmp_path / "w.pth"), build_backbone(TINY)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    if found.problem:
        with pytest.raises(ValueError, match="does not fit videomae-tiny"):
            load_backbone(backbone, tmp_path / "w.pth")
        assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    else:
        load_backbone(backbone, tmp_path / "w.pth")
