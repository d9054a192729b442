"""A board that others can wait on; a Ray actor, although it does not know it."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.orchestrate.board import Board


class BoardActor:
    """A board that can be waited on; every method runs in one event loop, so nothing needs a lock."""

    def __init__(self, payloads: Mapping[str, Mapping[str, Any]], **how: Any) -> None:
        """Start with every job known and none submitted; see `Board`."""
        self._board = Board(payloads, **how)
        self._changed = asyncio.Event()

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method of the board that never waits."""
        result = getattr(self._board, method)(*args)
        self._wake()
        return result

    async def reserve(self, slot: int) -> bool:
        """Wait until the slot has a job to run; False when the board is closed."""
        await self._until(lambda: self._board.closed or self._board.reserve(slot))
        return not self._board.closed

    async def take(self, slot: int, incarnation: str, nodes: Sequence[str] | None = None) -> dict[str, Any] | None:
        """Wait for the slot's next job; None when there will be none for this worker.

        The board is closed, a newer worker has come in the meantime, or the job that was the worker's has ended.
        """
        self._board.slot_up(slot, incarnation)
        self._wake()
        job: list[dict[str, Any]] = []

        def ready() -> bool:
            # The worker that asked may be dead: then a newer one has asked since, and the job must be its.
            if self._board.closed or self._board.incarnation(slot) != incarnation:
                return True
            taken = self._board.take(slot, nodes)
            job.extend([taken] if taken else [])
            # A fresh worker whose job has ended in the meantime has nothing to wait for.
            return bool(job) or self._board.sticky

        await self._until(ready)
        self._wake()
        return job[0] if job else None

    async def follow(self, digest: str, after: int) -> tuple[int, list[dict[str, Any]], dict[str, Any] | None]:
        """Wait for news of a job; see `Board.follow`."""
        await self._until(lambda: self._board.has_news(digest, after) or self._board.closed)
        count, reports, outcome = self._board.follow(digest, after)
        # Who follows a job that was left behind must not ask for ever.
        left_behind = {"state": "interrupted", "result": None} if self._board.closed else None
        return count, reports, outcome or left_behind

    async def stopped(self, digest: str) -> str:
        """Wait until the job is asked to stop; return the state with which it should end."""
        await self._until(lambda: self._board.should_stop(digest) is not None)
        return self._board.should_stop(digest) or "interrupted"

    async def events(self, wait_s: float) -> list[dict[str, Any]]:
        """Return what happened since the last call, waiting for something to happen for at most `wait_s`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._until(lambda: self._board.has_events), wait_s)
        return self._board.events()

    async def close(self) -> None:
        """Send every waiting slot home."""
        self._board.closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            await self._changed.wait()
