"""How busy and how full a worker's GPU is, sampled beside the training; nothing where there is no NVIDIA GPU."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterable
from functools import cache

EVERY_S = 5.0
QUERY = ("nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits")


class GpuUse:
    """Samples the cards that this process sees, in a thread that costs next to nothing."""

    def __init__(self) -> None:
        """Take no sample yet."""
        self._lock = threading.Lock()
        self._busy: list[float] = []
        self._bytes = 0

    def start(self) -> "GpuUse":
        """Sample from now on."""
        threading.Thread(target=self._sample, name="gpu-use", daemon=True).start()
        return self

    def since_last(self) -> dict[str, float | int | str | None]:
        """Return the mean share of time in which the cards were busy since the last call, and the bytes in use now."""
        with self._lock:
            busy, self._busy = self._busy, []
            return {"gpu_percent": sum(busy) / len(busy), "gpu_used_bytes": self._bytes} if busy else {}

    def take(self, rows: Iterable[tuple[float, int]]) -> None:
        """Add one sample: per card its percentage and its bytes."""
        cards = list(rows)
        if cards:
            with self._lock:
                self._busy.append(sum(percent for percent, _ in cards) / len(cards))
                self._bytes = sum(used for _, used in cards)

    def _sample(self) -> None:
        pause = threading.Event()
        while True:
            self.take(query(os.environ.get("CUDA_VISIBLE_DEVICES")))
            pause.wait(EVERY_S)


@cache
def of_this_process() -> GpuUse:
    """Return the process's sampler; it runs only where there is a card to look at."""
    use = GpuUse()
    return use.start() if shutil.which(QUERY[0]) and os.environ.get("CUDA_VISIBLE_DEVICES", "0") else use


def query(devices: str | None = None) -> list[tuple[float, int]]:
    """Return percentage and used bytes of the given cards (all by default); empty if they cannot be asked."""
    try:
        command = [*QUERY, *(["-i", devices] if devices else [])]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse(answer.stdout)


def parse(text: str) -> list[tuple[float, int]]:
    """Return what nvidia-smi's lines say; a card that does not tell (`[N/A]`) is left out.

    `93, 40123` becomes 93 % and 40,123 MiB in bytes.
    """
    rows: list[tuple[float, int]] = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 2 and all(part.replace(".", "", 1).isdigit() for part in parts):
            rows.append((float(parts[0]), int(float(parts[1]) * 2**20)))
    return rows
