"""Ctrl-C and SIGTERM around a study: their echo, the imports, and a command that is run for the user."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli.interrupts import ECHO_S, call, interrupt_later, interruptible
from harness.cli.study import STOPPED_CODE, guarded


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_command_with_one_sentence(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        signal.raise_signal(number)
        return 0

    assert guarded(command) == STOPPED_CODE
    assert capsys.readouterr().err == "stopped; start the same command again to go on\n"


def test_an_echo_does_not_tear_what_answers_the_signal() -> None:
    answered = False
    with interruptible():
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
            answered = True
        time.sleep(ECHO_S)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert answered


def test_a_signal_among_imports_waits_for_their_end() -> None:
    imported: list[bool] = []

    def interrupted() -> None:
        with interrupt_later():
            signal.raise_signal(signal.SIGTERM)
            imported.append(True)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert imported


def test_the_handlers_are_those_from_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert guarded(lambda: 0) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_command_that_is_run_for_the_user_answers_the_signal_itself(tmp_path: Path) -> None:
    # It saves its state for a second, which is four times what `subprocess.call` would leave it.
    child = (
        "import pathlib, signal, sys, time\n"
        "def saved(number, frame):\n"
        "    time.sleep(1)\n"
        f"    pathlib.Path({str(tmp_path / 'saved')!r}).touch()\n"
        "    sys.exit(130)\n"
        "signal.signal(signal.SIGINT, saved)\n"
        f"pathlib.Path({str(tmp_path / 'up')!r}).touch()\n"
        "time.sleep(60)\n"
    )
    program = f"import sys; from harness.cli.interrupts import call; sys.exit(call([sys.executable, '-c', {child!r}]))"
    parent = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 60
    while not (tmp_path / "up").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(parent.pid, signal.SIGINT)
    assert parent.wait(timeout=60) == 130
    assert (tmp_path / "saved").exists()


def test_a_command_ends_with_its_own_code() -> None:
    assert call([sys.executable, "-c", "raise SystemExit(3)"]) == 3
