"""What a study varied is read off its rows, each fact once."""

from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.report.axes import choose_by, choose_x, find_axes

FRAMES, SIDE, FEATURES = "data.window.frames", "data.window.resolution", "data.window.features"


def rows(**columns):
    """Return rows from columns whose names have __ for a point."""
    names = [name.replace("__", ".") for name in columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_what_is_the_same_everywhere_is_no_axis_and_neither_is_the_seed():
    table = rows(data__window__frames=(1, 2), data__window__resolution=(160, 160), seed=(0, 1), study=("a", "b"))
    assert find_axes(table).paths == (FRAMES,)


def test_what_follows_from_a_backbones_name_is_left_out():
    table = rows(
        model__backbone__kind=("videomae", "videomae", "slowfast"),
        model__backbone__name=("s", "b", "r50"),
        model__backbone__width=(384, 768, None),
        model__backbone__depth=(12, 12, None),
    )
    assert find_axes(table).paths == ("model.backbone.name",)


def test_a_field_that_varies_within_one_backbone_stays():
    table = rows(model__backbone__name=("s", "s", "b", "b"), model__backbone__drop_path=(0.0, 0.1, 0.0, 0.1))
    assert find_axes(table).paths == ("model.backbone.name", "model.backbone.drop_path")


def test_of_two_sizes_that_change_together_the_better_known_stays():
    table = rows(data__window__features=(192, 384, 768), data__window__frames=(768, 1536, 3072))
    axes = find_axes(table)
    assert axes.paths == (FRAMES,)
    assert axes.tied == {FEATURES: FRAMES}


def test_a_kind_that_follows_from_another_is_left_out():
    table = rows(model__tuning=("adapter", "adapter", "frozen"), model__adapter=("tia", "plain", None))
    axes = find_axes(table)
    assert axes.paths == ("model.adapter",)
    assert axes.tied == {"model.tuning": "model.adapter"}


def test_a_random_search_is_not_taken_for_paired_axes():
    table = [{"training.adapter_lr": 1e-4 * i, "training.weight_decay": 0.1 / i} for i in range(1, 21)]
    assert find_axes(table).paths == ("training.adapter_lr", "training.weight_decay")


@given(st.lists(st.tuples(st.sampled_from((1, 2, 4)), st.sampled_from((160, 224)), st.booleans()), min_size=1))
def test_axes_tell_apart_all_that_the_config_tells_apart(points):
    table = [{FRAMES: frames, SIDE: side, "training.flip": flip} for frames, side, flip in points]
    axes = find_axes(table)
    assert len({tuple(row[path] for path in axes.paths) for row in table}) == len(set(points))


def test_frames_stand_on_the_horizontal_axis_and_the_fewest_values_tell_lines_apart():
    table = [
        {FRAMES: frames, SIDE: side, "training.adapter_lr": rate}
        for frames in (1, 2) for side in (160, 224) for rate in (1e-4, 2e-4, 4e-4)
    ]  # fmt: skip
    paths = find_axes(table).paths
    assert choose_x(table, paths) == FRAMES
    assert choose_by(table, paths, FRAMES) == SIDE
    assert choose_x(table, paths[2:]) == "training.adapter_lr"
    assert choose_x([], []) is None
    assert choose_by([], [], None) is None
