"""What a worker says of its card; nvidia-smi is a script of ours."""

from pathlib import Path

import pytest

from harness.orchestrate import gpu_use
from harness.orchestrate.gpu_use import GpuUse, parse, query


def test_lines_of_nvidia_smi_are_read() -> None:
    assert parse("93, 40123\n0, 4\n") == [(93.0, 40123 * 2**20), (0.0, 4 * 2**20)]
    assert parse("[N/A], 40123\nNo devices were found\n\n") == []


def test_only_the_processs_own_cards_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\necho "50, 1024"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert query("2,3") == [(50.0, 2**30)]
    assert (tmp_path / "asked").read_text().split()[-2:] == ["-i", "2,3"]


def test_a_machine_without_a_card_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    gpu_use.of_this_process.cache_clear()
    assert query() == []
    assert gpu_use.of_this_process().since_last() == {}
    gpu_use.of_this_process.cache_clear()


def test_the_mean_since_the_last_report_is_given() -> None:
    use = GpuUse()
    use.take([(100.0, 2**30), (50.0, 2**30)])
    use.take([(25.0, 2**30), (25.0, 2**31)])
    use.take([])
    assert use.since_last() == {"gpu_percent": 50.0, "gpu_used_bytes": 3 * 2**30}
    assert use.since_last() == {}
