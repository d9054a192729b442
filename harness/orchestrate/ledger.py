"""What a sweep knows of its jobs: which are missing, which run, and what became of the others."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.orchestrate.jobs import Job, Outcome


class Ledger:
    """Keeps every outcome, and writes down the tracebacks of failed trials."""

    def __init__(self, jobs: Sequence[Job], on_end: Callable[[Outcome], None], log_dir: Path | None) -> None:
        """Begin with every job missing."""
        self.jobs = list(jobs)
        self.missing = {job.digest for job in jobs}
        self._outcomes: dict[str, Outcome] = {}
        self._running: dict[str, float] = {}
        self._on_end = on_end
        self._log_dir = log_dir

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """Outcomes in the order of the jobs."""
        return {job.digest: self._outcomes[job.digest] for job in self.jobs if job.digest in self._outcomes}

    @property
    def unfinished(self) -> list[str]:
        """Digests of the jobs whose end is not known, in order."""
        return [job.digest for job in self.jobs if job.digest in self.missing]

    @property
    def any_running(self) -> bool:
        """Whether a job has started and not ended."""
        return bool(self._running)

    def started(self, digest: str) -> None:
        """Note that a job runs; starting again changes nothing."""
        self._running.setdefault(digest, time.monotonic())

    def ended(self, digest: str, outcome: Mapping[str, Any]) -> str | None:
        """Note what became of a job; return the file that holds its traceback."""
        self._running.pop(digest, None)
        self.missing.discard(digest)
        if outcome["state"] == "planned":
            return None
        log = self._write_log(digest, outcome["traceback"])
        self._keep(
            Outcome(
                digest=digest,
                state=outcome["state"],
                error=outcome["error"],
                result=outcome["result"],
                log=log,
                seconds=outcome["seconds"],
            )
        )
        return log

    def interrupt_running(self) -> None:
        """Note the trials that were not waited for."""
        error = "the study was stopped before the trial could save its state"
        for digest, started_s in self._running.items():
            seconds = time.monotonic() - started_s
            self._keep(Outcome(digest=digest, state="interrupted", error=error, seconds=seconds))

    def _keep(self, outcome: Outcome) -> None:
        self._outcomes[outcome.digest] = outcome
        self._on_end(outcome)

    def _write_log(self, digest: str, text: str | None) -> str | None:
        if text is None or self._log_dir is None:
            return None
        path = self._log_dir / f"{digest}.log"
        try:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError:
            return None  # the disk is full: the reason is in the row, and the study goes on
        return str(path)
