"""The tiny backbone's pretraining repeats exactly, is kept, and starts from filters that see motion."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.motion import CLASSES, RATES, Dice, compose
from harness.training import clips
from harness.training.motion_energy import start_from_motion_energy
from harness.training.pretrain import FULL, Recipe, ensure_pretrained, recipe_digest
from models.backbones.videomae import ClipClassifier, VideoMAE
from models.checkpoints import load_backbone, read_state
from models.config import VIDEOMAE

TINY = VIDEOMAE["videomae-tiny"]
SHORT = Recipe(num_clips=64, steps=3, batch=8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_pretrained(tmp_path_factory.mktemp("weights"), SHORT, TINY)


def test_the_same_recipe_gives_the_same_weights(weights: Path, tmp_path: Path):
    again = read_state(ensure_pretrained(tmp_path, SHORT, TINY))
    for name, value in read_state(weights).items():
        assert torch.equal(value, again[name]), name


def test_weights_are_kept_under_the_identity_of_their_recipe(weights: Path):
    before = weights.stat().st_mtime_ns
    assert ensure_pretrained(weights.parent, SHORT, TINY) == weights
    assert weights.stat().st_mtime_ns == before
    assert weights.stem == recipe_digest(SHORT, TINY) != recipe_digest(FULL, TINY)


def test_half_written_weights_are_trained_again(weights: Path, tmp_path: Path):
    (tmp_path / weights.name).write_bytes(b"half")  # no accuracy beside it: the run was killed before the end
    again = ensure_pretrained(tmp_path, SHORT, TINY)
    assert read_state(again).keys() == read_state(weights).keys()


def test_the_checkpoint_loads_into_a_backbone(weights: Path):
    backbone = VideoMAE(TINY)
    load_backbone(backbone, weights)
    assert torch.equal(backbone.patch_embed.proj.weight, read_state(weights)["patch_embed.proj.weight"])


def test_changes_of_a_clip_and_of_its_label_undo_themselves():
    for becomes in (clips.MIRRORED, clips.UPSIDE_DOWN, clips.BACKWARDS, clips.TRANSPOSED):
        assert [becomes[other] for other in becomes] == list(range(len(CLASSES) + 1))


def test_the_first_filters_tell_the_direction_of_a_moving_texture():
    torch.manual_seed(0)
    net = ClipClassifier(TINY, len(CLASSES) + 1)
    start_from_motion_energy(net)
    texture = np.asarray(compose(Dice(3), rate=RATES[0], num_frames=50).textures[0])[::8, ::8]
    energies = {}
    for name, step in (("left", -1), ("right", 1)):
        frames = np.stack([np.roll(texture, step * 2 * number, axis=1) for number in range(16)])[:, :48, :48]
        pixels = torch.from_numpy(frames).float()[None, None].expand(1, 3, -1, -1, -1) / 50
        response = torch.nn.functional.conv3d(pixels, net.patch_embed.proj.weight, stride=(2, 16, 16))
        energy = (response[:, 0::2] ** 2 + response[:, 1::2] ** 2).mean((0, 2, 3, 4))
        energies[name] = energy.detach()
    # Pairs 0, 8, 16 ... move along +x, pairs 4, 12, 20 ... along -x.
    towards_right, towards_left = torch.arange(0, 48, 8), torch.arange(4, 48, 8)
    assert energies["right"][towards_right].sum() > 1.3 * energies["right"][towards_left].sum()
    assert energies["left"][towards_left].sum() > 1.3 * energies["left"][towards_right].sum()


@pytest.mark.slow
def test_the_full_recipe_beats_chance_clearly(tmp_path: Path):
    facts = json.loads(ensure_pretrained(tmp_path, FULL, TINY).with_suffix(".json").read_text())
    assert min(facts["accuracy_32"], facts["accuracy_48"]) > facts["chance"] + 0.2
