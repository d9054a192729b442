"""The Pareto view: against the definition, one setting compared with every other."""

import math
import statistics

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.tables import best, load, pareto, sql, write_row
from harness.tables.front import PARETO
from harness.tables.schema import TRIALS

TRIAL = st.tuples(
    st.sampled_from(["s", "t"]),
    st.sampled_from([96, 112, 128, 160]),
    st.integers(0, 2),
    st.one_of(st.none(), st.just(math.nan), st.sampled_from([0.1, 0.25, 0.5])),
    st.one_of(st.none(), st.sampled_from([1000, 2000, 4001])),
)


def table_of(trials, make_row):
    config = {name: value for name, value in make_row().items() if name in TRIALS.names and "." in name}
    names = ("study", "data.window.resolution", "seed", "map_avg", "peak_bytes")
    rows = [config | dict(zip(names, trial, strict=True)) | {"digest": str(n)} for n, trial in enumerate(trials)]
    columns = []
    for field in TRIALS:
        values = [row.get(field.name) for row in rows]
        listed = [[v] if pa.types.is_list(field.type) and isinstance(v, int) else v for v in values]
        columns.append(pa.array(listed, field.type))
    return pa.table(columns, schema=TRIALS)


@settings(deadline=None, max_examples=30)
@given(trials=st.lists(TRIAL, max_size=14))
def test_the_front_is_what_no_other_setting_beats(trials, make_row):
    seen = {}
    for study, resolution, _, value, peak in trials:
        if value is not None and not math.isnan(value) and peak is not None:
            seen.setdefault((study, resolution), []).append((value, peak))
    means = {
        setting: (statistics.fmean(v for v, _ in values), round(statistics.fmean(p for _, p in values)))
        for setting, values in seen.items()
    }
    expected = {
        setting
        for setting, (value, peak) in means.items()
        if not any(
            other[0] == setting[0] and v >= value - 1e-12 and p <= peak and (v > value + 1e-12 or p < peak)
            for other, (v, p) in means.items()
        )
    }
    rows = pareto(table_of(trials, make_row)).to_pylist()
    assert {(row["study"], row["data.window.resolution"]) for row in rows} == expected
    for row in rows:
        setting = (row["study"], row["data.window.resolution"])
        assert row["map_avg"] == pytest.approx(means[setting][0])
        assert row["num_seeds"] == len(seen[setting]) == len(row["digests"])
        spread = statistics.stdev(v for v, _ in seen[setting]) if len(seen[setting]) > 1 else None
        assert row["map_std"] == (None if spread is None else pytest.approx(spread, abs=1e-12))


@pytest.fixture
def results(tmp_path, make_row):
    values = {(32, 0): 0.2, (32, 1): 0.4, (64, 0): 0.35, (64, 1): 0.15, (96, 0): 0.5}
    for (frames, seed), value in values.items():
        row = make_row(
            {"data.window.span": 384, "data.window.features": 96, "data.window.frames": frames, "seed": seed}
        )
        write_row(tmp_path / "scale_frames", {**row, "map_avg": value, "peak_bytes": frames * 10**6 + 2 * seed})
    return tmp_path


def test_a_lucky_seed_does_not_win(results):
    answer = sql("select frames, map_avg, num_seeds, peak_bytes from pareto", results)
    # 64 frames: 0.25 on average, dearer and worse than 32 frames with 0.3, though one of its seeds has 0.35.
    assert answer.to_pydict() == {
        "frames": [32, 96],
        "map_avg": pytest.approx([0.3, 0.5]),
        "num_seeds": [2, 1],
        "peak_bytes": [32_000_001, 96_000_000],
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_source": "cuda_allocator"},
        {"study": "other"},
        {"data.fingerprint": "other"},
        {"evaluation.tious": [0.5]},
    ],
)
def test_only_what_was_measured_alike_is_compared(results, make_row, changes):
    row = make_row({"seed": 7}, map_avg=0.9, peak_bytes=1)
    before = sql("select count(*) n from pareto", results)["n"][0].as_py()
    write_row(results / "x", {**row, **changes})
    assert sql("select count(*) n from pareto", results)["n"][0].as_py() == before + 1


def test_the_view_has_its_columns_in_any_case(tmp_path, results, make_row):
    assert pareto(best(load(results))).schema.equals(PARETO)
    assert pareto(best(load(tmp_path / "nothing"))).schema.equals(PARETO)
    assert {name for name in make_row() if "." in name} <= set(PARETO.names)
    assert "seed" not in PARETO.names
