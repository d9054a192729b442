"""Ending trials early: a Tune scheduler judges, the board asks the trial to save its state and end.

Tune itself would tear the trial's relay down and leave the worker with the job. So its verdict is taken and its method
is not: the trial ends by itself, at its next step, with a row of its own (`stopped_early`) and its checkpoint.

The judge compares mAP after the same epoch, or training losses. Losses are comparable between learning rates, adapters,
frames and pixels, and not between heads, whose losses are sums of different terms; mAP always is, and costs a test.
"""

from dataclasses import dataclass
from typing import Any

import ray
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from harness.orchestrate.cluster import NAMESPACE
from harness.study import SchedulerMetric, SchedulerName

REDUCTION = 3
"""Successive halving keeps one in three."""
GRACE = 4
"""No trial ends before this share of its epochs, one in four."""
MIN_OTHERS = 3
"""The median rule waits for so many others that have come as far."""
REPORTED: dict[SchedulerMetric, tuple[str, str]] = {"map": ("map_avg", "max"), "loss": ("loss", "min")}
"""What trials report of a metric, and which way is better."""


@dataclass(frozen=True, kw_only=True)
class Judging:
    """Who ends trials early, and by what."""

    scheduler: SchedulerName = "none"
    metric: SchedulerMetric = "map"
    epochs: int = 1
    """Those of the longest trial."""

    def begin(self, board: str) -> "EarlyEnds | None":
        """Return a Tune scheduler that knows of no trial yet; None where nobody is ended."""
        reported, mode = REPORTED[self.metric]
        grace = max(1, self.epochs // GRACE)
        watched = {"metric": reported, "mode": mode, "time_attr": "epoch", "grace_period": grace}
        match self.scheduler:
            case "none":
                return None
            case "asha":
                judge: TrialScheduler = AsyncHyperBandScheduler(
                    **watched, max_t=self.epochs, reduction_factor=REDUCTION, stop_last_trials=False
                )
            case "median":
                judge = MedianStoppingRule(**watched, min_samples_required=MIN_OTHERS)
        return EarlyEnds(judge, board, reported)


class EarlyEnds(FIFOScheduler):
    """Runs trials in order and has the board end those that the judge would stop."""

    def __init__(self, judge: TrialScheduler, board: str, reported: str) -> None:
        """Know who judges, the board's name, and what a report must have to be judged."""
        super().__init__()
        self._judge = judge
        self._board = board
        self._needed = {"epoch", "epochs", reported}
        self._ended: set[str] = set()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Introduce the trial to the judge."""
        self._judge.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Ask the judge; Tune is always told to go on."""
        if trial.trial_id not in self._ended and self._needed <= result.keys():
            verdict = self._judge.on_trial_result(tune_controller, trial, result)
            # After its last epoch a trial is only tested, which is what all the work was for.
            if verdict == TrialScheduler.STOP and result["epoch"] < result["epochs"]:
                self._ended.add(trial.trial_id)
                board: Any = ray.get_actor(self._board, namespace=NAMESPACE)
                board.call.remote("stop_early", trial.config["digest"])
        return TrialScheduler.CONTINUE
