"""Files are read as data: what could run code is refused and never runs, and a file of anything else is told apart."""

import argparse
import builtins
import collections
import json
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from models.checkpoints import read_state
from models.checkpoints.containers import read_contents
from models.checkpoints.standins import NAMES

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[name], value) for name, value in STATE.items())


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pyth", ".pkl", ".bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_both_formats_of_torch_are_read_under_every_usual_name(tmp_path: Path, suffix: str, zipped: bool) -> None:
    torch.save({"state_dict": STATE}, tmp_path / f"w{suffix}", _use_new_zipfile_serialization=zipped)
    assert same(read_state(tmp_path / f"w{suffix}"))


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    assert same(read_state(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_is_read_whole_or_in_shards(tmp_path: Path, name: str) -> None:
    def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if path.suffix == ".bin":
            torch.save(tensors, path)
        else:
            save_file(tensors, path)

    whole, sharded = tmp_path / "whole", tmp_path / "sharded"
    whole.mkdir()
    sharded.mkdir()
    save(STATE, whole / name)
    places = {}
    for number, key in enumerate(STATE):
        places[key] = f"part-{number}{Path(name).suffix}"
        save({key: STATE[key]}, sharded / places[key])
    (sharded / f"{name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert same(read_state(whole))
    assert same(read_state(sharded))
    (sharded / places["a.bias"]).unlink()
    with pytest.raises(ValueError, match="does not exist"):
        read_state(sharded)
    save({"b": torch.ones(1)}, sharded / places["a.bias"])
    with pytest.raises(ValueError, match=r"promises a\.bias, which is in none of its shards"):
        read_state(sharded)


@pytest.mark.parametrize("name", ["../w.bin", "/tmp/w.bin", "sub/w.bin"])
def test_an_index_does_not_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ValueError, match="expected the name of a file beside it"):
        read_state(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', "not json"])
def test_a_broken_index_is_a_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match="is not an index of shards"):
        read_state(tmp_path)


def test_the_average_is_taken_where_it_is_asked_for(tmp_path: Path) -> None:
    average = {name: value + 1 for name, value in STATE.items()}
    torch.save({"epoch": 7, "state_dict": STATE, "state_dict_ema": average}, tmp_path / "w.pth")
    plain, averaged = read_contents(tmp_path / "w.pth"), read_contents(tmp_path / "w.pth", averaged=True)
    assert same(plain.tensors)
    assert torch.equal(averaged.tensors["a.bias"], torch.full((2,), 2.0))
    assert (plain.container, averaged.container) == ("state_dict", "state_dict_ema")
    assert (plain.averaged, averaged.averaged, plain.facts) == (False, True, {"epoch": 7})


class Bomb:
    """Unpickled with the ordinary unpickler it runs a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


class Planted(dict):
    """A class that nobody here knows, and that counts its calls."""

    ran = 0

    def __setitem__(self, key: object, value: object) -> None:
        Planted.ran += 1


def bombs(mark: Path) -> dict[str, object]:
    return {
        "system": Bomb(os.system, f"touch {mark}"),
        "eval": Bomb(builtins.eval, f"open({str(mark)!r}, 'w')"),
        "exec": Bomb(builtins.exec, f"open({str(mark)!r}, 'w')"),
        "open": Bomb(builtins.open, str(mark), "w"),
        "mkdir": Bomb(Path.mkdir, mark),
        "own_class": Planted(a=1),
        "torch_load": Bomb(torch.load, str(mark)),
    }


@pytest.mark.parametrize("place", ["alone", "in the state", "beside it", "deep beside it", "in the arguments"])
@pytest.mark.parametrize("zipped", [True, False, None])
@pytest.mark.parametrize("kind", list(bombs(Path())))
def test_what_could_run_code_is_refused_and_does_not_run(
    tmp_path: Path, kind: str, zipped: bool | None, place: str
) -> None:
    mark = tmp_path / "exploded"
    bomb = bombs(mark)[kind]
    content = {
        "alone": bomb,
        "in the state": {"module": {**STATE, "x": bomb}},
        "beside it": {"module": STATE, "optimizer": bomb},
        "deep beside it": {"module": STATE, "meta": [{"a": (bomb,)}]},
        "in the arguments": {"module": STATE, "args": argparse.Namespace(lr=1e-3, hook=bomb)},
    }[place]
    path = tmp_path / "w.pth"
    if zipped is None:
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"w\.pth holds more than tensors .*was refused: it could run code"):
        read_state(path)
    assert not mark.exists()
    assert Planted.ran == 0


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_protocol_of_pickle_gets_through(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "exploded"
    for bomb in bombs(mark).values():
        (tmp_path / "w.pkl").write_bytes(pickle.dumps({"module": bomb}, protocol=protocol))
        with pytest.raises(ValueError, match=r"w\.pkl (holds more than tensors|is not a file of weights)"):
            read_state(tmp_path / "w.pkl")
    assert not mark.exists()


def test_a_refusal_names_what_was_found_and_no_way_around_it(tmp_path: Path) -> None:
    torch.save({"module": STATE, "hook": Bomb(builtins.eval, "1")}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="was refused: it could run code") as error:
        read_state(tmp_path / "w.pth")
    assert "eval" in str(error.value)
    assert "weights_only" not in str(error.value)
    assert "safe_globals" not in str(error.value)


class HistoryBuffer:
    """Named like OpenMMLab's loss curves."""

    def __init__(self) -> None:
        self.history = np.ones(3)


def test_what_trainings_leave_beside_the_weights_is_no_reason_to_refuse_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = types.ModuleType("mmengine.logging.history_buffer")
    stranger.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, stranger.__name__, stranger)
    monkeypatch.setattr(HistoryBuffer, "__module__", stranger.__name__)
    curves = collections.defaultdict(list, loss=[np.float32(1.5), np.float64(2.5), np.int64(3)])
    torch.save(
        {
            "module": STATE,
            "args": argparse.Namespace(lr=1e-3, output=tmp_path, betas=(0.9, 0.999), device=torch.device("cpu")),
            "max_accuracy": np.float64(81.5),
            "confusion": np.eye(3),
            "curves": curves,
            "message_hub": {"log_scalars": {"loss": HistoryBuffer()}},
            "names": {"a", "b"},
        },
        tmp_path / "w.pth",
    )
    for name in ("mmengine", "mmengine.logging", stranger.__name__):
        monkeypatch.delitem(sys.modules, name)
    assert same(read_state(tmp_path / "w.pth"))
    assert not any(name.startswith("mmengine") for name in sys.modules)


def test_stand_ins_are_for_reading_only(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    before = torch.serialization.get_safe_globals()
    read_state(tmp_path / "w.pth")
    (tmp_path / "bad.pth").write_bytes(b"bad")
    with pytest.raises(ValueError, match=r"bad\.pth"):
        read_state(tmp_path / "bad.pth")
    assert torch.serialization.get_safe_globals() == before
    assert not any(
        name.startswith(("os.", "posix.", "subprocess.", "builtins.eval", "builtins.exec")) for name in NAMES
    )


def test_a_missing_file_an_empty_one_and_a_folder_without_weights_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.pth").touch()
    (tmp_path / "folder").mkdir()
    for name, words in {
        "none.pth": "does not exist",
        "empty.pth": "is empty",
        "folder": "folder without weights",
    }.items():
        with pytest.raises(ValueError, match=words):
            read_state(tmp_path / name)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html><body>Quota exceeded</body></html>", "web page"),
        (b'\n  <html lang="en">Sign in', "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n", "Git LFS pointer"),
    ],
)
def test_a_failed_download_is_named_as_one(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_state(tmp_path / name)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_a_file_cut_short_anywhere_is_one_sentence(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    tensors = {**STATE, "b": torch.randn(2000)}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(1, int(share * len(whole)))])
    with pytest.raises(ValueError, match=rf"{name}.*cut short"):
        read_state(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1, max_size=200))
def test_no_bytes_at_all_make_it_fail_otherwise(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.pth"):
        read_state(tmp_path / "w.pth")


def test_an_archive_of_something_else_is_a_clear_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="not a file of weights that torch can read"):
        read_state(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {},
        {"module": {}},
        {"module": {"a": 1}},
        {1: torch.ones(1)},
        {"a": torch.eye(3).to_sparse()},
        {"a": torch.ones(3, device="meta")},
        {"epoch": 3, "args": argparse.Namespace()},
    ],
)
def test_a_file_without_named_tensors_is_a_clear_error(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"expected a (dict of named tensors|tensor under a name|plain one)"):
        read_state(tmp_path / "w.pth")
