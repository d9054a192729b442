"""The targets' table: every row is a config of its own, and a row says whether its target was kept."""

import json

from harness.config import digest
from harness.memory.bench import main, targets


def test_rows_are_sixteen_different_configs_with_targets_below_the_papers_memory() -> None:
    rows = list(targets())
    assert len({digest(row.config) for row in rows}) == len(rows) == 16
    assert all(row.paper_gib is None or row.limit_gib < row.paper_gib for row in rows)


def test_the_smallest_backbone_keeps_its_target_on_the_host(capsys) -> None:
    assert main(["--only", "s inside 768 x 160, on the host", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert 0.3 < row["gib"] <= row["limit_gib"] == 1.0
    assert row["host_gib"] > 0.5
