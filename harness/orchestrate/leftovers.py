"""What a trial leaves behind in the process that ran it: host memory, card memory, threads that hang.

The next trial of a warm slot would find less room than it was promised, and its measured peak would hold what is not
its own. So a worker looks after every trial, and is started anew when too much is left.
"""

import gc
import sys

import psutil

from harness.allocator import give_back_freed_memory
from harness.data.guard import given_up
from harness.units import format_bytes

HOST_LIMIT_BYTES = 256 * 2**20
"""What later trials may add to the process: caches of libraries, fragments. Measured here: 3 MiB per trial."""
FIRST_LIMIT_BYTES = 2 * 2**30
"""What the first trial may add: it imports torch and readers, and starts CUDA. Measured here without CUDA: 0.2 GiB."""
CARD_LIMIT_BYTES = 64 * 2**20
"""What may stay on the card; a trial's peak is counted from nothing."""


class Leftovers:
    """Knows what a worker held before its trials, and says when one has left too much."""

    def __init__(self) -> None:
        """Measure the process before its first trial."""
        self._before = _host_bytes()
        self._trials = 0

    def of_last_trial(self) -> str | None:
        """Return in a few words what the trial that has just ended left behind; None: nothing to speak of."""
        gc.collect()
        give_back_freed_memory()
        grown = _host_bytes() - self._before
        self._trials += 1
        first = self._trials == 1
        if first and grown <= FIRST_LIMIT_BYTES:
            # From now on the process has what every trial needs; looking through it each time would take longer.
            self._before += grown
            gc.freeze()
        if threads := given_up():
            return f"a thread that hangs ({threads[0]})"
        card = _card_bytes()
        if card > CARD_LIMIT_BYTES:
            return f"{format_bytes(card)} on the card"
        if grown > (FIRST_LIMIT_BYTES if first else HOST_LIMIT_BYTES):
            return f"{format_bytes(grown)} of host memory"
        return None


def _host_bytes() -> int:
    """Return what the process holds that is in no file: libraries and videos that it has mapped are not counted."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("RssAnon"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass  # not Linux
    return psutil.Process().memory_info().rss


def _card_bytes() -> int:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    # Working memory that cuBLAS and the host allocator keep is no trial's.
    torch._C._cuda_clearCublasWorkspaces()
    torch._C._host_emptyCache()
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated()
