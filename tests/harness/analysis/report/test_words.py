"""The summary in words says what the numbers say."""

import pytest

from harness.analysis.report import gather
from harness.analysis.report.words import sentences
from harness.tables import write_row

FRAMES = "data.window.frames"


def said(report):
    return "\n".join(sentences(report))


def test_a_finished_study_is_told_from_the_best_setting_to_what_to_run_next(grid):
    text = said(grid)
    assert "18 trials of 6 settings: 18 finished." in text
    assert "Best is 3,072 frames, 224² px with 47.7 ± 0.3 % mAP (± standard deviation of 3 seeds)" in text
    assert "3,072 frames, 224² px beats 768 frames, 160² px by 7.7 ± 0.0 points of mAP" in text
    assert "160² px: error falls as frames^-0.05" in text
    assert "settings are on the Pareto front of mAP and memory: 768 frames, 160² px" in text
    assert "What to run next: which setting is best" in text
    assert "Peak memory was predicted within 1.01 % on all 18 trials that measured it." in text
    assert "With care" not in text


def test_every_sentence_starts_large_and_ends_once(grid, hostile):
    for text in (*sentences(grid), *sentences(hostile)):
        assert text[0].isupper() or text[0].isdigit()
        assert text.endswith(".")
        assert not text.endswith("..")


def test_what_went_wrong_is_counted(hostile):
    text = said(hostile)
    assert "16 trials of 8 settings: 10 finished, 4 too large, 1 failed, 1 out of memory" in text
    assert "tuning with adapter change together" in text
    assert "No result for want of memory: 1 trial out of memory, 4 trials too large." in text
    assert "1 file of the tables could not be read" in text


def test_a_study_without_any_result_says_so_and_nothing_more(simulated, tmp_path):
    for frames in (768, 1536):
        write_row(tmp_path, simulated.make_row({FRAMES: frames}, state="too_large", error="too large"))
    (report,) = gather(tmp_path)
    assert sentences(report) == [
        "2 trials of 2 settings: 2 too large.",
        "No result for want of memory: 2 trials too large.",
    ]


def test_a_single_trial_is_told_without_comparisons(simulated, tmp_path):
    write_row(tmp_path, simulated.make_row({FRAMES: 768}))
    text = said(gather(tmp_path)[0])
    assert "The setting reaches 50.0 % mAP (one seed, so no spread), peak memory 2.00 GiB." in text
    assert "Peak memory was predicted to the byte on the one trial that measured it." in text
    assert "every setting has a single seed" in text


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ({"git_commit": "other"}, "2 commits"),
        ({"device_name": "NVIDIA A100"}, "2 kinds of device"),
        ({"memory_source": "cpu_tracker"}, "2 ways of measuring memory"),
        ({"git_dirty": True}, "changes that were not committed"),
        ({"num_unreadable_videos": 3}, "3 videos could not be read"),
    ],
)
def test_unlike_things_are_not_averaged_in_silence(simulated, tmp_path, difference, words):
    write_row(tmp_path, simulated.make_row({}, seed=0))
    write_row(tmp_path, simulated.make_row({}, seed=1, **difference))
    text = said(gather(tmp_path)[0])
    assert f"With care: {'the trials come from ' if words[0] == '2' else ''}" in text
    assert words in text


def test_a_gain_within_the_noise_is_said_to_be_unproven(simulated, tmp_path):
    scores = {768: (0.40, 0.60), 1536: (0.61, 0.41), 3072: (0.42, 0.61)}
    for frames, pair in scores.items():
        for seed, score in enumerate(pair):
            write_row(tmp_path, simulated.make_row({FRAMES: frames}, seed=seed, score=score))
    text = said(gather(tmp_path)[0])
    assert "All trials" not in text
    assert "a fall is not established" in text
