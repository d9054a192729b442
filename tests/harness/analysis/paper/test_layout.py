"""Results in the layout of the paper's tables: ours beside its numbers, or beside the place that they take."""

import pytest

from harness.analysis.export import to_latex, to_markdown
from harness.analysis.paper.places import stand_ins
from harness.analysis.paper_table import study_tables
from harness.units import GIB

S = {"data.name": "synthetic", "model.tuning": "adapter", "model.adapter": "tia", "state": "finished"}
THUMOS = {
    **S,
    "data.name": "thumos14",
    "model.backbone.name": "videomae-b",
    "model.representation.kind": "frame",
    "model.head.kind": "actionformer",
    "model.adapter.placement": "inside",
    "model.adapter.kernel": 3,
    "model.adapter.spatial_kernel": 1,
    "data.window.frames": 768,
    "data.window.resolution": 160,
}


def row(score, seed=0, **values):
    return {
        "seed": seed,
        "map_avg": score,
        "peak_bytes": 2 * GIB,
        "predicted_peak_bytes": 2 * GIB,
        "params_total": 1_000_000,
        "params_trainable": 500_000,
        **values,
    }


def cells(table, key):
    place = [column.key for column in table.columns].index(key)
    return [line[place].text for line in table.rows]


def test_rows_of_the_papers_setting_stand_beside_its_numbers():
    rows = [
        row(0.70, **THUMOS),
        row(0.72, seed=1, **THUMOS),
        row(0.69, **{**THUMOS, "model.adapter": "plain"}),
        # Not the table's backbone: not compared.
        row(0.10, **{**THUMOS, "model.backbone.name": "videomae-s"}),
    ]
    (table,) = study_tables("compare_adapters", rows)
    assert table.title == "The paper's Table 7: Adapters of VideoMAE-B"
    assert cells(table, "adapter") == ["none", "longlora", "plain", "tia_no_residual", "tia", "tia"]
    assert cells(table, "map_paper") == ["70.1", "71.1", "70.2", "70.8", "71.5", ""]
    assert cells(table, "map_ours") == ["not run", "not run", "69.0", "not run", "71.0 ± 1.0", "not run"]
    assert cells(table, "params_paper") == ["", "28.0", "3.6", "4.0", "4.0", ""]
    assert cells(table, "memory_ours")[2] == "2.0"
    assert "full fine-tuning with TIA" in table.note
    for text in (to_markdown(table), to_latex(table)):
        assert "71.0" in text
        assert "71.5" in text


def test_on_other_videos_settings_stand_beside_the_place_they_take():
    rows = [
        row(0.1 * number, **S, **{"model.head.kind": "actionformer"}, **at)
        for number, at in enumerate(
            (
                {"data.window.frames": frames, "data.window.resolution": side}
                for frames in (32, 64, 128)
                for side in (32, 48)
            ),
            start=1,
        )
    ]
    (table,) = study_tables("scale_frames", rows)
    assert cells(table, "frames") == ["32 (for 768)", "64 (for 1,536)", "128 (for 3,072)"]
    assert cells(table, "48_map_paper") == ["70.7", "71.0", "71.5"]
    assert cells(table, "48_map_ours") == ["20.0", "40.0", "60.0"]
    assert [column.head for column in table.columns][1] == "32² px (for 160² px) mAP % paper"
    assert "only directions can be compared" in table.note


def test_each_data_set_has_its_own_table_and_other_methods_are_marked():
    rows = [row(0.38, **{**THUMOS, "data.name": "activitynet", "model.backbone.name": "videomae-l"})]
    table, zoo = study_tables("scale_backbone", rows)
    assert zoo.title == "OpenTAD's zoo: ActivityNet-1.3 with CUHK's class scores"
    assert "ActivityNet" in table.title
    assert {"BMN (TSN, flow), published", "TadTR (TSN, flow), published"} <= set(cells(table, "backbone"))
    ours = dict(zip(cells(table, "backbone"), cells(table, "map_ours"), strict=True))
    assert ours["videomae-l"] == "38.0"
    assert ours["videomae-b"] == "not run"


def test_a_method_whose_average_is_not_known_shows_its_thresholds():
    table, *_ = study_tables("scale_backbone", [row(0.6, **THUMOS)])
    published = dict(zip(cells(table, "backbone"), cells(table, "map_paper"), strict=True))
    assert published["ASL, published"] == "83.1 at 0.3, 71.7 at 0.5"
    assert published["TriDet (I3D, flow), published"] == "69.3"


def test_what_has_no_result_says_how_it_ended():
    lost = {"state": "out_of_memory", "peak_bytes": None, "map_avg": None}
    rows = [{**row(None, **THUMOS), **lost}]
    (table,) = study_tables("compare_adapters", rows)
    assert cells(table, "map_ours")[4] == "out_of_memory"
    assert cells(table, "memory_ours")[4] == "2.0 predicted"
    giant = {**THUMOS, "model.backbone.name": "videomae-g", "data.window.frames": 1536, "data.window.resolution": 224}
    table, zoo = study_tables("scale_to_giant", [row(0.77, **giant, **{"model.adapter.last_layers": 20})])
    assert "out of memory" in cells(table, "map_paper")
    assert "77.0" in cells(table, "map_ours")
    assert (cells(zoo, "map_paper")[1], cells(zoo, "map_ours")[1]) == ("77.07", "77.0")


def test_a_table_in_which_no_setting_has_a_place_is_left_out():
    tiny = {**S, "model.backbone.name": "videomae-tiny", "model.representation.kind": "frame"}
    (table,) = study_tables("compare_tuning", [row(0.4, **tiny)])
    assert table.title.startswith("The paper's Table 4")
    assert cells(table, "backbone") == ["videomae-tiny (for videomae-s)"]
    assert (cells(table, "map_paper"), cells(table, "map_ours")) == (["68.8"], ["40.0"])


def test_studies_beyond_the_paper_have_no_table_of_it():
    assert study_tables("tune_learning_rate", [row(0.5, **THUMOS)]) == []


@pytest.mark.parametrize(
    ("ours", "papers", "expected"),
    [
        ((3, 7), (3, 1, 7), {3: 3, 7: 7}),
        ((64, 32), (768, 1536), {32: 768, 64: 1536}),
        ((1, 2, 3), (10, 20), {1: 10, 2: 20}),
        (("inside",), ("inside", "outside"), {"inside": "inside"}),
        (
            ("slowfast-tiny", "videomae-xs-tiny", "videomae-tiny"),
            ("videomae-s", "slowfast-r50", "videomae-b"),
            {"slowfast-tiny": "slowfast-r50", "videomae-xs-tiny": "videomae-s", "videomae-tiny": "videomae-b"},
        ),
        (("offline-i3d",), ("videomae-s",), {}),
        ((None, "tia"), (None, "tia", "plain"), {None: None, "tia": "tia"}),
    ],
)
def test_values_take_the_place_of_their_rank_in_their_family(ours, papers, expected):
    assert stand_ins(ours, papers) == expected
