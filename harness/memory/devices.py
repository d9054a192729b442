"""Accelerators by name: how many bytes a training process can use on each."""

import shutil
import subprocess
from dataclasses import dataclass

from harness.units import GIB

CONTEXT_BYTES = GIB // 2
"""CUDA context and kernels, outside the allocator (scaling-facts C3, item 9: 300-800 MB)."""


@dataclass(frozen=True)
class Device:
    """A place to train and what fits there."""

    name: str
    total_bytes: int

    @property
    def usable_bytes(self) -> int:
        """Bytes that tensors can occupy."""
        return self.total_bytes if self.name == "cpu" else self.total_bytes - CONTEXT_BYTES


KNOWN = {
    name: Device(name, int(gib * GIB))
    for name, gib in {
        "rtx3060-12gb": 11.75,
        "t4-16gb": 14.75,
        "v100-32gb": 31.7,
        "rtx3090-24gb": 23.6,
        "rtx4090-24gb": 23.6,
        "l40s-48gb": 44.4,
        "a100-40gb": 39.4,
        "a100-80gb": 79.2,
        "h100-80gb": 79.1,
        "h200-141gb": 139.7,
    }.items()
}
"""Memory as the driver reports it, which is less than the name says."""


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
    return Device("cuda", int(float(mebibytes)) * 2**20)
