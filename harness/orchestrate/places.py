"""What a cluster has room for: which trials fit nowhere on it, and how many run at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.orchestrate.cluster import Cluster, num_slots
from harness.orchestrate.jobs import Job
from harness.orchestrate.needs import clamped
from harness.orchestrate.packing import Need, Node, Packing
from harness.units import format_bytes

CPUS_PER_WORKER = 1
SEARCH_SLOTS_PER_CARD = 4


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What all trials of a study have in common."""

    slots: Literal["warm", "fresh"]
    workers: int
    """Ray Train workers per trial."""
    gpus_per_worker: float
    max_concurrent: int | None


class Places:
    """The machines of a cluster as a study sees them; what trials take there, the board keeps account of."""

    def __init__(self, cluster: Cluster, nodes: Sequence[Node], demand: Demand) -> None:
        """Know the machines."""
        self._cluster = cluster
        self._demand = demand
        self.packing = self._empty(nodes)
        """The account with nothing taken; None where nobody keeps one: warm trials on cards have whole ones."""

    def fitting(self, job: Job) -> Job | str:
        """Return the job, with the largest card to itself if only its margin does not fit, or why it fits nowhere."""
        if self.packing is None:
            return job
        job = clamped(job, self.packing)
        return job if self.packing.could_fit(job.need) else _why(job.need)

    def num_slots(self, jobs: Sequence[Job], num_jobs: int) -> int:
        """Return how many trials can run at once.

        Args:
            jobs: those of a list; none for a search, which has not drawn any.
            num_jobs: how many there will be.

        Raises:
            ValueError: not even one fits.
        """
        packing, demand = self.packing, self._demand
        on_cards = packing is not None and demand.gpus_per_worker > 0
        slots = num_slots(
            self._cluster,
            num_jobs,
            workers=demand.workers,
            cpus_per_worker=CPUS_PER_WORKER,
            gpus_per_worker=0.0 if on_cards else demand.gpus_per_worker,
        )
        if packing is not None and jobs:
            slots = max(1, min(slots, packing.most_at_once(job.need for job in jobs)))
        elif on_cards:
            # What a search will draw is not known; more slots than cards let small trials share one.
            slots = min(slots, SEARCH_SLOTS_PER_CARD * max(1, int(self._cluster.num_gpus)))
        return min(slots, demand.max_concurrent or slots)

    def slots_on(self, nodes: Sequence[Node], jobs: Sequence[Job], num_jobs: int) -> int:
        """Return how many trials can run at once now that the cluster has these machines."""
        self._cluster.count()
        if self.packing is not None:
            self.packing.follow(nodes)
        try:
            return self.num_slots(jobs, num_jobs)
        except ValueError:
            return 0  # too little is left even for one; what runs is waited for

    def _empty(self, nodes: Sequence[Node]) -> Packing | None:
        on_cards = self._demand.gpus_per_worker > 0
        if on_cards and self._demand.slots == "warm":
            return None
        packing = Packing(nodes)
        return packing if packing.largest_card or not on_cards else None


def _why(need: Need) -> str:
    what = f"{format_bytes(need.card_bytes)} on a card and " if need.card_bytes else ""
    what += f"{format_bytes(need.host_bytes)} of host memory"
    if need.ranks > 1:
        return f"each of its {need.ranks} workers needs {what}, and the cluster has no room for all of them"
    return f"needs {what}, which no machine of the cluster has"
