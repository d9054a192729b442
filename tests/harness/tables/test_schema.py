"""The schema: one column per core value and config path, and the page that explains them."""

import pyarrow as pa
import pytest

from harness.config import TrialConfig, flatten
from harness.tables.schema import CONFIG, CORE, CURVES, TRIALS
from models.config import VIDEOMAE, AdapterConfig, DetectorConfig

KEPT_FOR_GOOD = [
    "study",
    "trial",
    "digest",
    "attempt",
    "seed",
    "state",
    "error",
    "map_avg",
    "map_at",
    "peak_bytes",
    "predicted_peak_bytes",
    "memory_source",
    "step_seconds",
    "total_seconds",
    "params_total",
    "params_trainable",
]


def config(**model) -> TrialConfig:
    return TrialConfig(model=DetectorConfig(backbone=VIDEOMAE["videomae-tiny"], **model))


def test_columns_that_were_promised_are_there():
    names = TRIALS.names
    assert not set(KEPT_FOR_GOOD) - set(names)
    assert {"data.window.frames", "data.window.resolution", "model.adapter", "model.adapter.kernel"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("model", [{"adapter": AdapterConfig()}, {"tuning": "frozen"}])
def test_every_config_value_has_a_column_of_its_type(model):
    for path, value in flatten(config(**model)).items():
        if value is not None:
            kind = TRIALS.field(path).type
            several = isinstance(value, tuple) or not pa.types.is_list(kind)
            assert pa.scalar(value if several else [value], kind).is_valid, path


def test_every_core_column_has_a_meaning_and_bytes_are_whole():
    for column in CORE:
        assert column.meaning.endswith("."), column.name
        assert (column.unit == "bytes") == column.name.endswith("_bytes")
        assert column.unit != "bytes" or column.type == pa.int64()
    assert all(field.metadata.keys() == {b"unit", b"meaning"} for schema in (TRIALS, CURVES) for field in schema)


def test_meanings_of_config_columns_come_from_the_dataclasses():
    meanings = {column.name: column.meaning for column in CONFIG}
    assert meanings["data.window.resolution"] == "Height and width of the network input, pixels."
