"""Files that are there as a whole or not at all."""

import os

import pytest

from harness.atomic import whole_file


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "facts.json"
    with whole_file(path) as temporary:
        temporary.write_text("{}")
        assert not path.exists()
    assert path.read_text() == "{}"
    assert list(path.parent.iterdir()) == [path]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "facts.json"
    path.write_text("old")

    def stopped_halfway():
        with whole_file(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stopped_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, failing):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space left"), whole_file(tmp_path / "x") as temporary:
        temporary.write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    with whole_file(tmp_path / "x") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_no_pattern_for_finished_files_matches_an_unfinished_one(tmp_path):
    with whole_file(tmp_path / "x.parquet") as temporary:
        temporary.touch()
        assert list(tmp_path.glob("*.parquet")) == []
        assert [path for path in tmp_path.glob("*") if not path.name.startswith(".")] == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
