"""The report's tables hold the rows' numbers, sorted by what they mean."""

import pytest

from harness.analysis.report import all_tables, gather
from harness.analysis.report.against_paper import paper_tables
from harness.analysis.report.answers import fits_table, steps_table
from harness.analysis.report.classes import classes_table
from harness.analysis.report.provenance import provenance_table
from harness.analysis.report.tables import failures_table, settings_table, trials_table
from harness.tables import write_row

FRAMES, SIDE = "data.window.frames", "data.window.resolution"


def column(table, key):
    place = [entry.key for entry in table.columns].index(key)
    return [row[place] for row in table.rows]


def test_settings_give_mean_spread_and_the_largest_peak(grid):
    table = settings_table(grid)
    assert [cell.value for cell in column(table, "frames")] == [768, 768, 1536, 1536, 3072, 3072]
    assert column(table, "resolution")[1].text == "224² px"
    assert column(table, "map")[0].text == "40.0 ± 0.3"
    best = [cell.best for cell in column(table, "map")]
    assert best == [False] * 5 + [True]
    assert column(table, "peak")[0].value == pytest.approx(
        max(r["peak_bytes"] for r in grid.rows if r[FRAMES] == 768 and r[SIDE] == 160) / 2**30
    )


def test_trials_carry_their_digest_and_the_map_at_every_threshold(grid):
    table = trials_table(grid)
    assert table.ids == tuple(row["digest"] for row in grid.rows)
    assert [entry.head for entry in table.columns][4:7] == ["mAP %", "@0.5", "@0.7"]
    first = grid.rows[0]
    assert column(table, "map@0.5")[0].value == pytest.approx(100 * first["map_at"][0][1])


def test_columns_that_say_nothing_are_left_out(simulated, tmp_path):
    write_row(tmp_path, simulated.make_row({}, state="too_large", error="too large"))
    (report,) = gather(tmp_path)
    assert [entry.key for entry in trials_table(report).columns] == [
        "seed",
        "state",
        "predicted",
        "time",
        "attempt",
        "digest",
    ]


def test_failures_tell_why_and_what_became_of_the_trial(hostile, simulated):
    table = failures_table(hostile)
    assert len(table.rows) == 8
    ends = [(state.text, now.text) for state, now in zip(column(table, "state"), column(table, "now"), strict=True)]
    assert ends.count(("interrupted", "finished")) == 2
    assert ends.count(("too large", "too large")) == 4
    assert any(simulated.EVIL in cell.text for cell in column(table, "error"))


def test_a_study_in_which_nothing_failed_has_no_table_of_failures(grid):
    assert failures_table(grid) is None


def test_the_papers_numbers_stand_beside_ours(grid):
    (table,) = paper_tables(grid)
    assert table.title == "The paper's Table 5: Frames per window and resolution"
    assert [cell.text for cell in column(table, "frames")] == ["768", "1,536", "3,072"]
    assert [cell.text for cell in column(table, "160_map_paper")] == ["68.8", "69.7", "70.6"]
    assert [cell.text for cell in column(table, "224_map_paper")] == ["70.7", "71.0", "71.5"]
    assert column(table, "160_map_ours")[0].text == "40.0 ± 0.3"
    assert column(table, "160_memory_ours")[0].value == pytest.approx(1 + 768 * 160**2 / 3e7, abs=1e-6)


def test_numbers_on_other_data_are_not_compared(simulated, tmp_path):
    write_row(tmp_path, simulated.make_row({FRAMES: 768, SIDE: 160, "data.name": "synthetic"}))
    (table,) = paper_tables(gather(tmp_path)[0])
    assert len(table.rows) == 1
    assert "Ours are from synthetic, the paper's from thumos14" in table.note
    assert "only directions can be compared" in table.note


def test_a_setting_that_the_paper_did_not_run_is_not_taken_for_it(simulated, tmp_path):
    row = simulated.make_row({FRAMES: 768, SIDE: 160, "model.backbone": simulated.BACKBONES["videomae-b"]})
    write_row(tmp_path, row)
    (table,) = paper_tables(gather(tmp_path)[0])
    assert {cell.text for cell in column(table, "160_map_ours")} == {"not run"}


def test_classes_gain_from_the_smallest_to_the_best_setting(grid, simulated):
    table = classes_table(grid)
    assert [cell.text for cell in column(table, "class")] == [simulated.EVIL, "long_jump"]
    gains = {row[0].text: row[3].value for row in table.rows}
    best, small = (g.map_avg.mean for g in (grid.scored[0], grid.scored[-1]))
    assert gains["long_jump"] == pytest.approx(100 * (best - small))


def test_fits_and_steps_answer_the_studys_question(grid):
    fits = fits_table(grid)
    assert [cell.text for cell in column(fits, "line")] == ["160² px", "224² px"]
    assert "c = -0.05" in column(fits, "parameters")[0].text
    steps = steps_table(grid)
    assert {cell.text for cell in column(steps, "knob")} == {"frames", "resolution"}
    assert len(steps.rows) == 4 + 3
    rates = [cell.value for cell in column(steps, "rate")]
    assert rates == sorted(rates, reverse=True)


def test_provenance_tells_code_machine_and_command(hostile):
    facts = {row[0].text: row[1].text for row in provenance_table(hostile).rows}
    assert facts["commit"] == "0123456789abcdef"
    assert facts["command"] == "scale_frames.py --on thumos14"
    assert facts["device"] == "NVIDIA H100, 80.00 GiB"
    assert facts["versions"] == "python 3.11.7, torch 2.15.0"
    assert facts["file left out"].startswith("broken-1-aaaa.parquet: ")
    assert "18 attempts" in facts["time of all attempts"]


def test_rows_are_as_wide_as_their_heads(grid, hostile):
    for table in (*all_tables(grid), *all_tables(hostile)):
        assert {len(row) for row in table.rows} <= {len(table.columns)}
        keys = [entry.key for entry in table.columns]
        assert len(set(keys)) == len(keys)
        assert not any(re_space in key for key in keys for re_space in " <>=")
