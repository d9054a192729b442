"""What a trial takes from a machine while it runs, from what is predicted of it."""

from dataclasses import replace

from harness.orchestrate.jobs import Job
from harness.orchestrate.packing import Need, Packing
from harness.trial import TrialJob

PROCESS_BYTES = 700 * 2**20
"""What a process that has imported torch holds before it does anything."""


def need_of(job: TrialJob, *, margin: float, on_card: bool, exclusive: bool, ranks: int = 1) -> Need:
    """Return what each rank of a trial needs: its predicted bytes and the margin, on a card or in the machine's memory.

    Processes that only decode videos share the cores with others: they wait more than they work.
    """
    peak = int((job.predicted_peak_bytes or 0) * margin)
    if not on_card:
        return Need(host_bytes=PROCESS_BYTES + peak, ranks=ranks)
    host = (1 + job.data_workers) * PROCESS_BYTES + job.predicted_host_bytes
    return Need(host_bytes=host, card_bytes=max(peak, 1), exclusive=exclusive, ranks=ranks)


def clamped(job: Job, packing: Packing) -> Job:
    """Let a trial that is predicted to fit have the largest card to itself, where only the margin does not fit."""
    largest, need = packing.largest_card, job.need
    if need.card_bytes > largest >= (job.predicted_peak_bytes or 0):
        return replace(job, need=replace(need, card_bytes=largest))
    return job
