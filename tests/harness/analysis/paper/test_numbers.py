"""The paper's numbers: read a second time from the sources, and consistent with each other."""

import pytest

from harness.analysis.paper import (
    ADAPTER,
    BACKBONE,
    DATA,
    FRAMES,
    KERNEL,
    PLACEMENT,
    PUBLISHED,
    RESOLUTION,
    SPATIAL_KERNEL,
    TABLES,
    TUNING,
    ZOO,
    published,
    published_at,
    tables_of,
)
from harness.analysis.paper.rows import HEAD, REPRESENTATION, is_at, value_at
from harness.config import flatten
from harness.data.datasets import THUMOS14
from harness.presets import paper
from studies.all import STUDIES

# A second reading, in the words of adatad-facts 10.1 and 10.2: table, what the row is, mAP, GiB, M parameters.
FRAME, SNIPPET = {REPRESENTATION: "frame"}, {REPRESENTATION: "snippet"}
SECOND_READING = [
    ("Table 4", {BACKBONE: "videomae-s", TUNING: "features"}, 57.6, None, None),
    ("Table 4", {BACKBONE: "videomae-b", TUNING: "features"}, 64.7, None, None),
    ("Table 4", {BACKBONE: "videomae-l", TUNING: "features"}, 66.5, None, None),
    ("Table 4", {BACKBONE: "videomae-s", TUNING: "full", **SNIPPET}, 68.4, 24.6, None),
    ("Table 4", {BACKBONE: "videomae-s", TUNING: "full", **FRAME}, 67.1, 2.8, None),
    ("Table 4", {BACKBONE: "videomae-b", TUNING: "full", **FRAME}, 70.1, 5.6, None),
    ("Table 4", {BACKBONE: "videomae-l", TUNING: "full", **FRAME}, 73.0, 13.1, None),
    ("Table 1", {BACKBONE: "videomae-s", TUNING: "full", **SNIPPET}, 68.4, 24.6, None),
    ("Table 1", {BACKBONE: "videomae-s", TUNING: "full", **FRAME}, 67.1, 2.8, None),
    ("Table 2", {DATA: "thumos14", BACKBONE: "videomae-h"}, 74.4, 19.2, None),
    ("Table 2", {DATA: "thumos14", BACKBONE: "videomae-g", PLACEMENT: "inside"}, 74.8, 29.9, None),
    ("Table 2", {DATA: "thumos14", BACKBONE: "videomae-g", PLACEMENT: "outside"}, 75.4, 43.6, None),
    ("Table 2", {DATA: "activitynet", BACKBONE: "videomae-s"}, 37.85, None, None),
    ("Table 2", {DATA: "activitynet", BACKBONE: "videomae-l"}, 39.22, None, None),
    ("Table 3", {DATA: "epic_verb", BACKBONE: "videomae-l", TUNING: "adapter"}, 29.3, 48.5, None),
    ("Table 10", {TUNING: "adapter"}, 28.08, 60.0, None),
    ("Table 5", {FRAMES: 1536, RESOLUTION: 224}, 71.0, 6.4, None),
    ("Table 6", {BACKBONE: "videomae-g", PLACEMENT: "outside", RESOLUTION: 224, FRAMES: 768}, 74.6, 30.0, None),
    ("Table 7", {TUNING: "adapter", ADAPTER: "longlora"}, 71.1, 6.2, 28),
    ("Table 7", {TUNING: "adapter", ADAPTER: "plain"}, 70.2, 4.8, 3.6),
    ("Table 7", {TUNING: "adapter", ADAPTER: "tia_no_residual"}, 70.8, 4.9, 4.0),
    ("Table 11", {BACKBONE: "videomae-l", PLACEMENT: "outside", RESOLUTION: 224}, 73.7, 10.8, None),
    ("Table 12", {BACKBONE: "videoswin-b", TUNING: "features"}, 55.1, None, None),
    ("Table 12", {BACKBONE: "videoswin-b", TUNING: "adapter"}, 63.7, 16.1, 3.9),
    ("Table 12", {BACKBONE: "slowfast-r50", TUNING: "adapter"}, 66.0, 4.3, 11.4),
    ("Table 13", {KERNEL: 1}, 71.06, None, None),
    ("Table 13", {KERNEL: 3, SPATIAL_KERNEL: 3}, 70.63, None, None),
    ("Table 13", {KERNEL: 21}, 69.03, None, None),
    ("Table 15", {HEAD: "gtad", TUNING: "adapter"}, 55.5, None, None),
    ("Table 15", {HEAD: "tridet", TUNING: "features"}, 68.8, None, None),
]


@pytest.mark.parametrize(("number", "at", "map_avg", "gib", "params"), SECOND_READING)
def test_a_second_reading_finds_the_same(number, at, map_avg, gib, params):
    (row,) = [
        row
        for table in TABLES
        if table.number == number
        for row in table.rows
        if is_at({**table.setting, **row.at}, at) and row.map_avg is not None and (row.map_avg == map_avg)
    ]
    assert row.memory_gib == gib
    assert params is None or row.params_m == params


def test_a_setting_in_several_tables_has_one_number():
    seen = {}
    for table in TABLES:
        for row in table.rows:
            whole = {**table.setting, **row.at}
            if whole.get(TUNING) != "adapter":
                # Without adapters, what an adapter would be says nothing.
                whole = {path: value for path, value in whole.items() if not path.startswith("model.adapter.")}
            if row.map_avg is None:
                continue
            key = tuple(sorted(whole.items(), key=str))
            known = seen.setdefault(key, row)
            assert row.map_avg == known.map_avg, (table.number, known.table, whole)
            if row.memory_gib is not None and known.memory_gib is not None:
                assert row.memory_gib == known.memory_gib


@pytest.mark.parametrize(
    "row", [row for table in TABLES for row in (*table.rows, *table.others) if len(row.map_at) == 5]
)
def test_an_average_is_that_of_its_thresholds(row):
    assert sum(row.map_at.values()) / 5 == pytest.approx(row.map_avg, abs=0.1)


def test_every_table_of_the_issue_is_here_and_only_results_are_looked_up():
    assert [int(table.number.split()[1]) for table in TABLES] == [1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15]
    assert all(row.map_avg is not None for rows in PUBLISHED.values() for row in rows)
    assert all(table.absent for table in TABLES for row in table.rows if row.map_avg is None and not row.out_of_memory)


@pytest.mark.parametrize("table", [*TABLES, *ZOO], ids=lambda table: f"{table.number} {table.study}")
def test_a_layout_has_one_place_for_every_row(table):
    paths = (*table.down, *((table.across,) if table.across else ()))
    keys = [tuple(value_at(row.at, path) for path in paths) for row in table.rows]
    assert len(set(keys)) == len(keys)


def test_other_methods_are_marked_and_no_setting_of_ours():
    for table in TABLES:
        assert all(row.method and not row.at and row.note for row in table.others)
        assert not any(row.method for row in table.rows)
    methods = {row.method.split(" (")[0] for row in tables_of("scale_backbone")[0].others}
    assert {"BMN", "AFSD", "E2E-TAD", "BasicTAD", "TALLFormer", "Re2TAL", "VSGN"} <= methods


def test_a_trials_row_is_found_by_its_config_and_by_its_studys_axes():
    config = flatten(paper(THUMOS14, "videomae-s"))
    assert published_at("scale_frames", config).map_avg == 68.8
    assert published_at("scale_frames", {**config, "model.head.kind": "tridet"}) is None
    assert published_at("compare_tuning", config).params_m == 1
    axes = {"model.tuning": "adapter", "model.adapter": "plain"}
    assert published("compare_adapters", axes).map_avg == 70.2
    assert published("no_such_study", axes) is None


# A second reading of OpenTAD's README: data set, backbone, averages in its order.
ZOO_AVERAGES = {
    ("scale_backbone", "thumos14"): [69.03, 71.14, 73.51, 74.95, 75.06, 77.07, 74.65],
    ("scale_to_giant", "thumos14"): [75.06, 77.07, 74.65],
    ("scale_backbone", "activitynet"): [37.81, 38.35, 39.21, 39.31, 39.77, 39.86],
    ("epic_kitchens", "epic_verb"): [29.69],
    ("epic_kitchens", "epic_noun"): [29.44],
    ("ego4d_moment_queries", "ego4d"): [28.41],
}


def test_the_zoos_runs_are_read_right_and_average_to_what_they_say():
    found = {(table.study, table.setting[DATA]): [row.map_avg for row in table.rows] for table in ZOO}
    assert found == ZOO_AVERAGES
    five = [row for table in ZOO for row in table.rows if len(row.map_at) == 5]
    assert len(five) == 13
    for row in five:
        assert sum(row.map_at.values()) / 5 == pytest.approx(row.map_avg, abs=0.011)


def test_the_zoos_giant_and_ego4d_runs_are_trials_of_the_released_presets():
    for study, where in (("scale_to_giant", ZOO[1]), ("ego4d_moment_queries", ZOO[5])):
        (grid,) = (each.presets["opentad"] for each in STUDIES if each.name == study)
        trials = [flatten(trial.config) for trial in grid.trials()]
        for row in where.rows:
            assert any(is_at(trial, {**where.setting, **row.at}) for trial in trials), (study, row.at)
