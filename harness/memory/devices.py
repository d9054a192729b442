"""Accelerators by name: how many bytes a training process can use on each, and how fast it computes there."""

import shutil
import subprocess
from dataclasses import dataclass

from harness.units import GIB

CONTEXT_BYTES = GIB // 2
"""CUDA context and kernels, outside the allocator (scaling-facts C3, item 9: 300-800 MB)."""
WORKSPACE_BYTES = 8519680
"""What cuBLAS takes from the allocator for a stream (scaling-facts C3, item 8: about 8.1 MiB before Hopper)."""
HOPPER_WORKSPACE_BYTES = 32 * 2**20
MATRIX_SHARE = 0.45
"""Of a vendor's dense matrix rate, what a transformer's training step reaches. An assumption: none was measured."""
MEMORY_SHARE = 0.8
"""Of a vendor's memory bandwidth, what element-wise kernels reach. An assumption too."""
HOST_BYTES_PER_S = 20e9
"""Between pinned host memory and a card on 16 lanes of PCIe 4."""


@dataclass(frozen=True)
class Rates:
    """How fast a device works in practice, per second."""

    half_flops: float
    """Matrix products in 16-bit formats, accumulated in float32."""
    full_flops: float
    memory_bytes: float
    host_bytes: float = HOST_BYTES_PER_S


@dataclass(frozen=True)
class Device:
    """A place to train and what fits there."""

    name: str
    total_bytes: int
    rates: Rates | None = None
    """None where nobody has named or measured them."""
    workspace_bytes: int = 0

    @property
    def usable_bytes(self) -> int:
        """Bytes that tensors can occupy."""
        return self.total_bytes if self.name == "cpu" else self.total_bytes - CONTEXT_BYTES


def _card(
    name: str, gib: float, half_tera: float, full_tera: float, giga_bytes: float, workspace: int = WORKSPACE_BYTES
) -> Device:
    rates = Rates(
        half_flops=MATRIX_SHARE * half_tera * 1e12,
        full_flops=MATRIX_SHARE * full_tera * 1e12,
        memory_bytes=MEMORY_SHARE * giga_bytes * 1e9,
    )
    return Device(name, int(gib * GIB), rates, workspace)


KNOWN = {
    card.name: card
    for card in (
        _card("rtx4060-8gb", 7.75, 30, 15.1, 272),
        _card("rtx3060-12gb", 11.75, 25.5, 12.7, 360),
        _card("t4-16gb", 14.75, 65, 8.1, 320),
        _card("rtx4080-16gb", 15.7, 97, 48.7, 717),
        _card("v100-32gb", 31.7, 125, 15.7, 900),
        _card("rtx3090-24gb", 23.6, 71, 35.6, 936),
        _card("rtx4090-24gb", 23.6, 165, 82.6, 1008),
        _card("l40s-48gb", 44.4, 362, 91.6, 864),
        _card("a100-40gb", 39.4, 312, 19.5, 1555),
        _card("a100-80gb", 79.2, 312, 19.5, 2039),
        _card("h100-80gb", 79.1, 989, 67, 3350, HOPPER_WORKSPACE_BYTES),
        _card("h200-141gb", 139.7, 989, 67, 4800, HOPPER_WORKSPACE_BYTES),
    )
}
"""Memory as the driver reports it, which is less than the name says; dense rates of the vendors' data sheets, in 10^12
operations per second for 16-bit formats (accumulated in float32) and float32, and 10^9 bytes per second."""


def find_device(name: str | None) -> Device:
    """Return a device by its name; None: the first GPU of this machine, or its CPU.

    Raises:
        ValueError: the name is not known.
    """
    if name == "cpu":
        return _cpu()
    if name is None or name == "cuda":
        gpu = _local_gpu()
        if gpu is None and name == "cuda":
            raise ValueError("--device is cuda, but this machine shows no NVIDIA GPU")
        return gpu or _cpu()
    if name not in KNOWN:
        raise ValueError(f"--device is {name}, expected cpu, cuda or one of {', '.join(KNOWN)}")
    return KNOWN[name]


def _cpu() -> Device:
    import psutil

    return Device("cpu", psutil.virtual_memory().total)


def _local_gpu() -> Device | None:
    """Ask the driver, not torch: importing it takes seconds."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    if answer.returncode or not answer.stdout.strip():
        return None
    _, mebibytes = answer.stdout.strip().splitlines()[0].rsplit(",", 1)
    return Device("cuda", int(float(mebibytes)) * 2**20, workspace_bytes=WORKSPACE_BYTES)
