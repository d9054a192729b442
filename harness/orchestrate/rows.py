"""The driver's part in writing rows: those of trials that could not write their own, and again where the disk was full.

A row that cannot be written now is kept and tried again when the next trial ends, and when the last has. What cannot
be written even then is said, one line each, and ends the study with one sentence; the checkpoints are still there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.orchestrate.jobs import Outcome
from harness.study import State
from harness.tables import TableUnwritable
from harness.trial import UNWRITTEN, TrialJob, row_without_result, summary, write_record

Row = Mapping[str, Any]


@dataclass
class Rows:
    """Sees to it that every trial that began has its row."""

    say: Callable[[str], None]
    on_row: Callable[[Row], None]
    """Called with the core columns of each row once it is written."""
    _kept: list[tuple[TrialJob, Row, Sequence[Row]]] = field(default_factory=list)

    def ended(self, job: TrialJob, outcome: Outcome) -> None:
        """Note the row that the trial wrote, or write the one that it could not."""
        self._retry()
        result = outcome.result
        if result is None:
            # A trial whose process was killed could not write its own row; one that never began has none.
            if outcome.seconds > 0:
                where = f" (log: {outcome.log})" if outcome.log else ""
                self.write(job, outcome.state, f"{outcome.error}{where}")
        elif record := result.get(UNWRITTEN):
            self._write(job, record["row"], record["curve"])
        else:
            self.on_row(result)

    def write(self, job: TrialJob, state: State, error: str) -> Row:
        """Write the row of a trial without a result; return its core columns."""
        row = row_without_result(job, state, error)
        self._write(job, row, ())
        return summary(row)

    def settle(self) -> None:
        """Try once more what could not be written.

        Raises:
            TableUnwritable: it still cannot.
        """
        self._retry()
        if not self._kept:
            return
        for job, row, _ in self._kept:
            score = f", mAP {row['map_avg']:.4f}" if row.get("map_avg") is not None else ""
            self.say(f"not in the tables: {job.name}: {row['state']}{score} {row.get('error') or ''}".rstrip())
        raise TableUnwritable(
            f"{len(self._kept)} rows could not be written to {self._kept[0][0].rows}; the checkpoints are kept, "
            "make room there and start the same command again to go on"
        )

    def _retry(self) -> None:
        waiting, self._kept = self._kept, []
        for job, row, curve in waiting:
            self._write(job, row, curve, again=True)

    def _write(self, job: TrialJob, row: Row, curve: Sequence[Row], *, again: bool = False) -> None:
        try:
            write_record(job, row, curve)
        except TableUnwritable as failure:
            self._kept.append((job, row, curve))
            if not again:
                self.say(f"{job.name}: its row is kept and tried again later: {failure}")
            return
        self.on_row(summary(row))
