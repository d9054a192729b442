"""What Ray Tune runs as a trial: it asks the board for one job and passes its reports on to Tune.

It imports neither torch nor Ray Train and computes nothing, because a memory kill of a Tune trial's process would end
the whole search (ray-facts finding 3), and because Tune starts several of these processes.
"""

from collections.abc import Mapping
from typing import Any

import ray
from ray import tune

from harness.orchestrate.cluster import NAMESPACE


def relay(config: Mapping[str, Any]) -> None:
    """Submit the job, report what it reports, end when it ends; failed jobs are rows and not Tune errors."""
    board = ray.get_actor(config["board"], namespace=NAMESPACE)
    digest = config["digest"]
    ray.get(board.call.remote("submit", digest))
    seen, outcome = 0, None
    while outcome is None:
        seen, reports, outcome = ray.get(board.follow.remote(digest, seen))
        for metrics in reports:
            tune.report(metrics)
    tune.report({"state": outcome["state"], **numbers(outcome["result"])})


def numbers(result: Mapping[str, Any] | None) -> dict[str, float]:
    """Return what a search or a display can use of a trial's result."""
    return {name: value for name, value in (result or {}).items() if isinstance(value, int | float)}
