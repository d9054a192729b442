"""Features of other origin: any usual file, either orientation, a stated place in time, and clear refusals."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.config import WindowConfig
from harness.data.feature_files import MalformedFeatures
from harness.data.features import FeatureStore
from harness.data.given_features import GivenFeatures
from harness.data.index import load_index, save_index
from harness.data.offline import prepare_offline
from harness.data.video import UnreadableVideo

CHANNELS = 6
WINDOW = WindowConfig(frames=32, span=64, features=16, resolution=16)
"""Cells of four frames."""


def values(cells: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((cells, CHANNELS)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return features of four videos, in every usual kind of file."""
    place = tmp_path / "features"
    (place / "below").mkdir(parents=True)
    np.save(place / "a.npy", values(20))
    np.save(place / "v_b.npy", values(30).T)
    np.savez(place / "below" / "c.npz", feats=values(25))
    torch.save(torch.from_numpy(values(40))[None], place / "d.pt")
    return place


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Return a folder with annotations of these videos, and no video."""
    database = {
        name: {
            "subset": "training" if name in "ab" else "validation",
            "duration": 10.0,
            "annotations": [{"segment": [1.0, 3.0], "label": "wave"}],
        }
        for name in "abcd"
    }
    (tmp_path / "annotations.json").write_text(json.dumps({"database": database}))
    return tmp_path


def test_every_kind_of_file_gives_time_by_channels(folder: Path):
    features = GivenFeatures.open(folder)
    assert features.channels == CHANNELS
    for name, cells in {"a": 20, "b": 30, "c": 25, "d": 40}.items():
        assert features.length(name) == cells
        assert np.array_equal(features.read(name, 2, 5), values(cells)[2:7])
    assert features.read("a", 18, 4).tolist() == [*values(20)[18:].tolist(), [0.0] * CHANNELS, [0.0] * CHANNELS]


def test_a_dict_of_tensors_and_half_precision_are_read(tmp_path: Path):
    torch.save({"feats": torch.from_numpy(values(9)).half(), "fps": torch.tensor(30)}, tmp_path / "x.pt")
    features = GivenFeatures.open(tmp_path, channels=CHANNELS)
    assert np.array_equal(features.read("x", 0, 9), values(9).astype(np.float16).astype(np.float32))


def test_square_features_go_by_what_is_said(tmp_path: Path):
    np.save(tmp_path / "x.npy", values(CHANNELS))
    facts = tmp_path / "features.json"
    facts.write_text(json.dumps({"channels": CHANNELS}))
    assert np.array_equal(GivenFeatures.open(tmp_path).read("x", 0, 6), values(CHANNELS))
    facts.write_text(json.dumps({"channels": CHANNELS, "layout": "channels_first"}))
    assert np.array_equal(GivenFeatures.open(tmp_path).read("x", 0, 6), values(CHANNELS).T)


def test_the_identity_is_that_of_the_content(folder: Path):
    before = GivenFeatures.open(folder).identity
    assert GivenFeatures.open(folder).identity == before
    np.save(folder / "a.npy", values(20, seed=1))
    changed = GivenFeatures.open(folder).identity
    (folder / "features.json").write_text('{"channels": 6}')
    assert len({before, changed, GivenFeatures.open(folder).identity}) == 3


@given(st.integers(1, 40), st.integers(1, 40))
def test_whole_videos_are_resampled_as_torch_does(cells: int, count: int):
    class InMemory(FeatureStore):
        def stored(self, video_id: str) -> np.ndarray:
            return values(cells)

    found = InMemory(Path()).read_whole("x", count)
    expected = torch.nn.functional.interpolate(torch.from_numpy(values(cells)).T[None], count, mode="linear")
    np.testing.assert_allclose(found, expected[0].T.numpy(), atol=1e-5)


def test_features_spread_over_the_duration_where_nothing_else_is_said(folder: Path, annotated: Path):
    dataset = prepare_offline("custom", annotated, GivenFeatures.open(folder), WINDOW)
    assert [video.video_id for video in dataset.subset("training")] == ["a", "b"]
    info = dataset.videos[0].info
    assert (info.num_frames, info.duration_s) == (80, 10.0)
    # Feature 5 of 20 begins at a quarter of the time.
    assert info.frames_at(np.array(2.5)) == 5 * WINDOW.cell


def test_stride_rate_and_offset_place_features_as_opentad_does(folder: Path, annotated: Path):
    """Feature k of stride 4 and offset 8 is of the frames around 4 k + 8, at 8 frames a second."""
    (folder / "features.json").write_text(json.dumps({"stride": 4, "fps": 8, "offset": 8}))
    info = prepare_offline("custom", annotated, GivenFeatures.open(folder), WINDOW).videos[0].info
    for k in (0, 3, 17):
        assert info.seconds_at(np.array((k + 0.5) * WINDOW.cell)) == pytest.approx((4 * k + 8) / 8)
        assert info.frames_at(np.array((4 * k + 8) / 8)) == pytest.approx((k + 0.5) * WINDOW.cell)


def test_the_index_keeps_where_features_lie(folder: Path, annotated: Path, tmp_path: Path):
    (folder / "features.json").write_text(json.dumps({"stride": 4, "fps": {"a": 8, "b": 8, "c": 9, "d": 8}}))
    dataset = prepare_offline("custom", annotated, GivenFeatures.open(folder), WINDOW)
    save_index(dataset, tmp_path / "index.json")
    assert load_index(tmp_path / "index.json") == dataset


def test_videos_without_features_are_left_out_up_to_a_share(folder: Path, annotated: Path):
    (folder / "v_b.npy").unlink()
    dataset = prepare_offline("custom", annotated, GivenFeatures.open(folder), WINDOW)
    (lost,) = dataset.quarantined
    assert lost.video_id == "b"
    assert "there is no file of features" in lost.reason
    with pytest.raises(ValueError, match="1 of 2 videos of subset 'training' have no usable features"):
        prepare_offline("custom", annotated, GivenFeatures.open(folder), WINDOW, max_unreadable=0.4)


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


DAMAGED = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no features"),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Harmful())),
    "an array of objects": lambda path: np.save(path, np.array([{}, []], dtype=object), allow_pickle=True),
    "words": lambda path: np.save(path, np.array([["a"] * 6] * 20)),
    "three axes": lambda path: np.save(path, np.zeros((2, 20, 6))),
    "one axis": lambda path: np.save(path, np.zeros(20)),
    "no features at all": lambda path: np.save(path, np.zeros((0, 6))),
    "other channels": lambda path: np.save(path, np.zeros((20, 7))),
    "complex numbers": lambda path: np.save(path, np.zeros((20, 6), dtype=complex)),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_quarantined_with_its_reason(folder: Path, annotated: Path, kind: str):
    DAMAGED[kind](folder / "a.npy")
    dataset = prepare_offline("custom", annotated, GivenFeatures.open(folder, CHANNELS), WINDOW)
    (lost,) = dataset.quarantined
    assert lost.video_id == "a"
    assert "a.npy" in lost.reason
    assert "\n" not in lost.reason


@pytest.mark.parametrize("kind", ["a cut .pt", "a .pt that would run code", "a cut .npz", "a .npz of two arrays"])
def test_damaged_archives_are_refused_in_one_sentence(tmp_path: Path, kind: str):
    path = tmp_path / ("x.pt" if ".pt" in kind else "x.npz")
    if kind == "a .pt that would run code":
        torch.save({"feats": Harmful()}, path)
    elif kind == "a .npz of two arrays":
        np.savez(path, one=values(3), two=values(3))
    else:
        torch.save(torch.zeros(20, 6), path) if path.suffix == ".pt" else np.savez(path, feats=values(20))
        path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(MalformedFeatures, match=r"x\.(pt|npz)") as refused:
        GivenFeatures.open(tmp_path, CHANNELS).length("x")
    assert "\n" not in str(refused.value)


def test_features_that_are_no_numbers_are_given_up_when_read(folder: Path):
    broken = values(20)
    broken[7, 2] = np.nan
    np.save(folder / "a.npy", broken)
    features = GivenFeatures.open(folder)
    assert np.isfinite(features.read("a", 8, 4)).all()
    with pytest.raises(UnreadableVideo, match="not numbers"):
        features.read("a", 4, 4)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "expected an object with some of channels"),
        ('{"channel": 6}', "expected an object with some of channels"),
        ('{"channels": 0}', "has channels 0"),
        ('{"stride": 4}', "has one of stride and fps"),
        ('{"stride": -4, "fps": 30}', "has stride -4"),
        ('{"stride": 4, "fps": {"a": "thirty"}}', "has fps"),
        ('{"layout": "sideways"}', "has layout 'sideways'"),
    ],
)
def test_descriptions_that_are_not_understood_are_refused(folder: Path, said: str, message: str):
    (folder / "features.json").write_text(said)
    with pytest.raises(ValueError, match=message):
        GivenFeatures.open(folder)


def test_folders_that_do_not_tell_enough_are_refused(tmp_path: Path, folder: Path, annotated: Path):
    with pytest.raises(ValueError, match="there is no folder"):
        GivenFeatures.open(tmp_path / "nowhere")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no features"):
        GivenFeatures.open(tmp_path / "none")
    alike = tmp_path / "alike"
    alike.mkdir()
    for name in "ab":
        np.save(alike / f"{name}.npy", values(20))
    with pytest.raises(ValueError, match=r'not clear how many channels .*expected "channels" in features\.json'):
        GivenFeatures.open(alike)
    np.save(folder / "below" / "a.npy", values(20))
    with pytest.raises(ValueError, match="are features of one video"):
        GivenFeatures.open(folder)
    (folder / "below" / "a.npy").unlink()
    (folder / "features.json").write_text(json.dumps({"stride": 8, "fps": 30}))
    with pytest.raises(ValueError, match=r"has stride 8, but data.window.span / data.window.features is 4"):
        prepare_offline("custom", annotated, GivenFeatures.open(folder), WINDOW)
