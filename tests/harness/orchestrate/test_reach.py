"""A cluster whose machines do not share the results folder is refused; the machines here are made up."""

from pathlib import Path

import pytest

from harness.orchestrate import reach

NODES = [{"Alive": True, "NodeID": name, "NodeManagerAddress": f"10.0.0.{name}"} for name in "12"]


def cluster_of(monkeypatch: pytest.MonkeyPatch, *, blind: str | None, number: int = 2) -> list[list[Path]]:
    """Pretend a cluster in which one machine sees no path whose name begins with `blind`."""
    asked: list[list[Path]] = []

    def answer(nodes, paths):
        asked.append(list(paths))
        seen = {str(path): path.exists() for path in paths}
        hidden = {path: found and not (blind and Path(path).name.startswith(blind)) for path, found in seen.items()}
        return {nodes[0]["NodeManagerAddress"]: seen, nodes[1]["NodeManagerAddress"]: hidden}

    monkeypatch.setattr(reach.ray, "nodes", lambda: NODES[:number])
    monkeypatch.setattr(reach, "_ask", answer)
    return asked


def test_a_shared_folder_is_accepted_and_the_mark_is_gone(monkeypatch, tmp_path: Path) -> None:
    asked = cluster_of(monkeypatch, blind=None)
    reach.check_shared(tmp_path, [tmp_path])
    assert len(asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_local_folder_is_refused_by_name(monkeypatch, tmp_path: Path) -> None:
    cluster_of(monkeypatch, blind=".shared")
    with pytest.raises(ValueError, match=r"is not the same on 10\.0\.0\.2.*--storage DIR"):
        reach.check_shared(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_weights_that_one_machine_lacks_are_named(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").touch()
    cluster_of(monkeypatch, blind="weights")
    with pytest.raises(ValueError, match=r"weights\.pth is not on 10\.0\.0\.2"):
        reach.check_shared(tmp_path, [tmp_path / "weights.pth"])


def test_one_machine_shares_with_itself(monkeypatch, tmp_path: Path) -> None:
    assert cluster_of(monkeypatch, blind=".shared", number=1) == []
    reach.check_shared(tmp_path, [])
