"""Who gets a card of its own: what the study measures decides, and the command line before it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli.options import UserError, read_options
from harness.cli.plan import make_plan
from harness.cli.running import JobMaker
from harness.cli.terminal import Terminal
from studies.memory_frontier import STUDY as MEMORY
from studies.scale_frames import STUDY as FRAMES


def exclusive(study: Any, folder: Path, *argv: str, device: str = "h100-80gb") -> bool:
    terminal = Terminal(quiet=True)
    options = read_options(study, ["--dry-run", "--results", str(folder), "--device", device, *argv])
    plan = make_plan(study, options, terminal, prepare=False)
    return JobMaker(replace(plan, options=options), {}, terminal).how.exclusive


def test_a_study_of_memory_gives_every_trial_a_card_of_its_own(tmp_path: Path) -> None:
    assert exclusive(MEMORY, tmp_path)
    assert not exclusive(MEMORY, tmp_path, "--no-exclusive")
    assert not exclusive(FRAMES, tmp_path)
    assert exclusive(FRAMES, tmp_path, "--exclusive")


def test_on_a_cpu_the_default_asks_for_nothing_and_the_option_is_a_mistake(tmp_path: Path) -> None:
    assert not exclusive(MEMORY, tmp_path, device="cpu")
    assert not exclusive(MEMORY, tmp_path, "--no-exclusive", device="cpu")
    with pytest.raises(UserError, match="--exclusive is given, but the trials run on the cpu"):
        exclusive(MEMORY, tmp_path, "--exclusive", device="cpu")
