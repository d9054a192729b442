"""The Optuna file of a study whose disk was full, or that was killed in the middle of a line."""

from pathlib import Path

import pytest

from harness import presets
from harness.orchestrate.history import FILE, History
from harness.orchestrate.space import Space
from harness.study import Grid, Search

GRID = Grid(base=presets.synthetic_adatad(), axes={"training.adapter_lr": (1e-4, 1e-3)})


def opened(folder: Path) -> History:
    return History(folder, Space(GRID, Search()))


def finished(digest: str) -> dict[str, object]:
    return {"digest": digest, "state": "finished", "map_avg": 0.5, "peak_bytes": 100}


@pytest.mark.filterwarnings("ignore")
def test_half_a_line_at_the_end_is_cut_off_and_the_rest_is_kept(tmp_path: Path) -> None:
    (params, _), (other, _) = Space(GRID, Search()).listed()
    opened(tmp_path).note(params, finished("a"))
    with (tmp_path / FILE).open("ab") as log:
        log.write(b'{"op_code":4,"worker_id":"x')
    again = opened(tmp_path)
    assert [point.user_attrs["digest"] for point in again.told] == ["a"]
    again.note(other, finished("b"))
    assert [point.user_attrs["digest"] for point in opened(tmp_path).told] == ["a", "b"]
