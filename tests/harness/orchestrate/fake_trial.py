"""A trial function for the tests: Ray's workers find it by name because the tests put this folder on PYTHONPATH."""

import os
import signal
import time
from pathlib import Path
from typing import Any

LEFT_BEHIND: list[Any] = []
"""What earlier trials of this process have leaked."""


def execute(job: dict[str, Any], reporter: Any) -> dict[str, Any]:
    """Count epochs in a file, as a checkpoint would; die, fail or dawdle as the job says."""
    checkpoint = Path(job["work"]) / f"{job['digest']}.{reporter.rank}"
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    resumed_at = done
    for epoch in range(done, job.get("epochs", 2)):
        if job.get("fails"):
            raise ValueError("no such luck")
        if job.get("full"):
            import torch

            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if "hogs_mib" in job:
            _hog(job["hogs_mib"])
        if epoch == 1 and job["hand_out"] <= job.get("deaths", 0):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(job.get("sleep_s", 0.02))
        checkpoint.write_text(str(epoch + 1))
        scored = {"map_avg": job["map"] * (epoch + 1)} if "map" in job else {}
        reporter.report(
            {"epoch": epoch + 1, "epochs": job.get("epochs", 2), "loss": job.get("loss", 1.0) / (epoch + 1), **scored}
        )
        if _anyone(reporter, reporter.should_stop()):
            return {"state": reporter.stop_state}
    if reporter.rank == job.get("leaking_rank", 0):
        LEFT_BEHIND.append(b"x" * (job.get("leaks_mib", 0) << 20))
    return {"state": "finished", "map_avg": job.get("final_map", 0.25), "peak_bytes": 1,
            "resumed_at": resumed_at, "pid": os.getpid(),
            "world_size": reporter.world_size, "card_bytes": job.get("card_bytes", 0),
            "left_behind": sum(map(len, LEFT_BEHIND)), "node": _node()}  # fmt: skip


def _hog(mib: int) -> None:
    """Take host memory bit by bit and hold it until somebody ends this process."""
    held = []
    for _ in range(0, mib, 64):
        held.append(b"x" * (64 << 20))
        time.sleep(0.02)
    time.sleep(120)


def _node() -> str:
    import ray

    return ray.get_runtime_context().get_node_id()


def _anyone(reporter: Any, flag: bool) -> bool:
    """Agree with the other ranks, as the training loop does."""
    if reporter.world_size == 1:
        return flag
    from harness.training.distributed import any_rank

    return any_rank(flag)
