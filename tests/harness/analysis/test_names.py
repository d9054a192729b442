"""Config paths and values in words."""

import pytest

from harness.analysis.names import setting_name, short_names, value_name


def test_names_of_several_paths_are_told_apart_by_their_branch():
    names = short_names(["model.backbone.width", "model.head.width", "data.window.frames"])
    assert list(names.values()) == ["backbone width", "head width", "frames"]


def test_a_setting_names_both_widths():
    assert setting_name({"model.backbone.width": 96, "model.head.width": 256}) == "96 backbone width, 256 head width"


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("data.window.resolution", 160, "160² px"),
        ("data.window.frames", 1536, "1,536"),
        ("training.adapter_lr", 0.0002, "0.0002"),
        ("data.augment.crop_area", (0.08, 1.0), "0.08 to 1"),
        ("model.adapter", None, "none"),
        ("model.head.position_embedding", True, "yes"),
    ],
)
def test_values_are_said_as_people_say_them(path, value, text):
    assert value_name(path, value) == text
