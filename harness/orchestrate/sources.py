"""What draws a search's jobs, as the sweep sees it; `PointSource` and `Halving` are the two there are."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol

from harness.orchestrate.jobs import Job


class Later(Enum):
    """Says that there will be more jobs once some that run have ended."""

    LATER = "later"


LATER = Later.LATER


class JobSource(Protocol):
    """Draws jobs and hears how they end; all calls come from the thread that runs Tune."""

    def next(self) -> Job | Later | None:
        """Return the next job that has to be run; None when no more are needed."""
        ...

    def under_way(self) -> list[Job]:
        """Return the jobs whose end is not known."""
        ...

    def progress(self, digest: str, metrics: Mapping[str, Any]) -> None:
        """Note what a job reports."""
        ...

    def ended(self, digest: str, result: Mapping[str, Any] | None) -> None:
        """Note how a job ended; later calls for the same job do nothing."""
        ...
