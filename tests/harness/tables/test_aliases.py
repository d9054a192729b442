"""Short names for config columns."""

from hypothesis import given
from hypothesis import strategies as st

from harness.tables import TRIALS
from harness.tables.aliases import endings, short_names

COLUMNS = ["seed", "data.name", "a.frames", "a.b.width", "c.width", "c.kind", "e", "e.kind", "e.kernel", "x.seed"]


def test_an_ending_that_only_one_column_has_names_it():
    names = short_names(COLUMNS)
    assert names["frames"] == names["a_frames"] == "a.frames"
    assert names["kernel"] == "e.kernel"
    assert "width" not in names
    assert names["b_width"] == names["a_b_width"] == "a.b.width"
    assert names["c_width"] == "c.width"


def test_a_branch_stands_for_its_name_else_its_kind():
    names = short_names(COLUMNS)
    assert names["data"] == "data.name"
    assert names["c"] == "c.kind"
    assert "e" not in names  # a column of its own


def test_what_several_columns_end_in_names_them_all():
    assert set(endings(COLUMNS)["width"]) == {"a.b.width", "c.width"}
    assert set(endings(COLUMNS)["kind"]) == {"c.kind", "e.kind"}


def test_a_column_is_never_hidden():
    assert "seed" not in endings(COLUMNS)


def test_the_names_of_the_readme_are_there():
    names = short_names(TRIALS.names)
    wanted = {
        "frames": "data.window.frames",
        "resolution": "data.window.resolution",
        "kernel": "model.adapter.kernel",
        "adapter_lr": "training.adapter_lr",
        "backbone_width": "model.backbone.width",
        "backbone": "model.backbone.name",
        "head": "model.head.kind",
        "adapter": "model.adapter",
    }
    assert {name: names.get(name) for name in wanted} == wanted


PARTS = st.sampled_from(["a", "b", "c", "name", "kind"])


@given(st.sets(st.lists(PARTS, min_size=1, max_size=4).map(".".join)))
def test_short_names_hide_no_column_and_fit_one_path_only(columns):
    names = short_names(columns)
    assert not names.keys() & columns
    for name, column in names.items():
        assert column in columns
        others = [other for other in columns if other != column and "." in other]
        assert all(not ("_" + other.replace(".", "_")).endswith("_" + name) for other in others)
