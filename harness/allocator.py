"""Keep freed memory in the process: on the CPU, giving it back and asking again costs more than a training step.

glibc returns every large block to the system when it is freed, and the next step pays for its pages again. Measured
here (two cores, virtual machine): a training step of the tiny detector takes about half as long with this.
"""

import ctypes
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt(3)."""


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed blocks for later; return whether it understood (elsewhere nothing is done)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        settings = ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, (1 << 31) - 1), (M_TOP_PAD, 1 << 28))
        return all(libc.mallopt(name, value) for name, value in settings)
    except (OSError, AttributeError):
        return False


def give_back_freed_memory() -> None:
    """Return to the system what is freed but kept; where nobody keeps it, nothing is done."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
