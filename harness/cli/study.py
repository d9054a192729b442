"""A study script's `main`: from the command line to an exit code.

It imports little, so that what a user can interrupt with a traceback is over in a moment; the work is in conduct.py.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from harness.cli.interrupts import interrupt_later, interruptible
from harness.cli.options import read_options
from harness.study import Study

DONE_CODE, FAILED_CODE, MISTAKE_CODE, STOPPED_CODE = 0, 1, 2, 130


def main(study: Study, argv: Sequence[str] | None = None) -> None:
    """Run a study from the command line and exit with its code."""
    code = run(study, sys.argv[1:] if argv is None else argv)
    leave(code, torn=code == STOPPED_CODE)


def leave(code: int, *, torn: bool = False) -> NoReturn:
    """End the process with this code, whatever Ray left behind in it.

    A thread that is still inside Ray crashes in the interpreter's teardown (seen as a segmentation fault), and so does
    a Ray that was interrupted while it started (`torn`). Then there is no teardown; everything is on disk.
    """
    cluster = sys.modules.get("harness.orchestrate.cluster")
    if torn or (cluster is not None and cluster.in_use()):
        with suppress(OSError):  # nobody may be reading any more
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(study: Study, argv: Sequence[str]) -> int:
    """Run a study; return 0 done, 1 some trials failed or Ray went away, 2 the user's mistake, 130 Ctrl-C."""
    return guarded(lambda: _run(study, argv))


def guarded(command: Callable[[], int]) -> int:
    """Turn a user's mistake into one sentence on stderr; a defect of ours keeps its traceback."""
    with interruptible():
        try:
            return command()
        except KeyboardInterrupt:
            print("stopped; start the same command again to go on", file=sys.stderr)
            return STOPPED_CODE
        except ConnectionError as loss:  # what was lost on the way (Ray's head, a store) is nobody's mistake: try again
            print(f"error: {' '.join(str(loss).split())}", file=sys.stderr)
            return FAILED_CODE
        except (ValueError, OSError) as mistake:
            if os.environ.get("TADSCALE_TRACEBACK"):
                raise
            print(f"error: {' '.join(str(mistake).split())}", file=sys.stderr)
            return MISTAKE_CODE


def _run(study: Study, argv: Sequence[str]) -> int:
    options = read_options(study, argv)
    # Seconds of imports. Done here, a Ctrl-C among them ends the study like any other, and not in a traceback.
    with interrupt_later():
        from harness.cli.conduct import conduct
    return conduct(study, options, argv)
