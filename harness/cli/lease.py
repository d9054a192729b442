"""One study, one driver, where several machines share a store: a claim that is renewed while its driver lives.

    write my claim -> read all claims -> nobody else's is alive: held; else: withdrawn, and said whose it is

A store such as S3 has no locks, and pyarrow does not offer its conditional writes. So every driver writes a claim of
its own name first and looks second: of two that start at once, at least one sees the other; both may withdraw, but
never do both go on. That needs a store whose listing shows what was written before (those of Amazon, Google and Azure
do). Ages are differences between times that the store wrote, so no machine's clock counts.

What it cannot do: a driver that was cut off for longer than `STALE_S` and is taken for dead learns of it at its next
heartbeat, and stops; until then both run trials. No row is lost or spoilt by that, work is done twice.
"""

import _thread
import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NoReturn

import pyarrow as pa

from harness.cli.claims import Claim, Claims
from harness.cli.options import UserError
from harness.tables.storage import Location, Place, place_of
from harness.units import format_seconds

HEARTBEAT_S = 20.0
STALE_S = 180.0
"""A claim that was not renewed for so long is that of a driver that is gone."""
TRIES = 4
"""How often one starts again after meeting another that was starting at the same moment."""


@contextmanager
def one_machine(study: Location | None, warn: Callable[[str], None]) -> Iterator[None]:
    """Hold a study's place on a shared store; without one there is nothing to hold.

    Args:
        study: the study's tables on the store.
        warn: is told in one sentence when the place is lost; the study is then stopped as by Ctrl-C.

    Raises:
        UserError: another driver holds it; its host and process are named.
    """
    if study is None:
        yield
        return

    def lost(reason: str) -> None:
        warn(f"{reason}; stopping")
        _thread.interrupt_main()

    lease = Lease(place_of(study), lost)
    lease.take()
    try:
        yield
    finally:
        lease.release()


class Lease:
    """A driver's hold on a study."""

    def __init__(self, study: Place, lost: Callable[[str], None]) -> None:
        """Know the study; nothing is held yet.

        Args:
            study: its folder or prefix.
            lost: is told why the study is not this driver's any more, in the thread that renews.
        """
        self._study = study
        self._claims = Claims(study)
        self._lost = lost
        self._claim = Claim()
        self._over = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewed_s = time.time()

    def take(self) -> None:
        """Hold the study, and renew the claim from now on.

        Raises:
            UserError: another driver holds it.
        """
        alive: dict[Claim, float] = {}
        for _ in range(TRIES):
            self._claims.write(self._claim)
            alive, dead = self._others()
            if not alive:
                self._claim = replace(self._claim, held=True, took_over=tuple(dead))
                self._claims.write(self._claim)
                self._claims.remove(dead)
                self._renewing.start()
                return
            self._claims.remove([self._claim.name])
            if any(claim.held for claim in alive):
                break
            time.sleep(random.uniform(0.5, 3.0))  # both withdrew; the one that looks first then finds nobody
        self._refuse(alive)

    def beat(self) -> None:
        """Renew the claim once, or say that the study is another's now."""
        try:
            claims = self._claims.read()
            taker = next((seen.claim for seen in claims.values() if self._claim.name in seen.claim.took_over), None)
            if taker is not None:
                self._end(f"process {taker.pid} on {taker.host} has taken over {self._study}")
            elif self._claim.name not in claims:
                self._end(f"the mark in {self._claims.folder} that this study is running is gone")
            else:
                self._claims.write(self._claim)
                self._renewed_s = time.time()
        except (OSError, pa.ArrowException) as error:
            silent_s = time.time() - self._renewed_s
            if silent_s > STALE_S:
                self._end(f"{self._study} could not be reached for {format_seconds(silent_s)} ({error})")

    def release(self) -> None:
        """Let others have the study."""
        self._over.set()
        # A claim that is being renewed just now would come back after its removal.
        self._renewing.join(timeout=30)
        with contextlib.suppress(OSError, pa.ArrowException):
            self._claims.remove([self._claim.name])

    def _renew(self) -> None:
        while not self._over.wait(HEARTBEAT_S):
            self.beat()

    def _end(self, reason: str) -> None:
        self._over.set()
        self._lost(reason)

    def _others(self) -> tuple[dict[Claim, float], list[str]]:
        """Return the others' claims that are alive, with the seconds since each was renewed, and names of the dead."""
        claims = self._claims.read()
        own = claims.pop(self._claim.name, None)
        now = own and own.renewed
        alive: dict[Claim, float] = {}
        dead: list[str] = []
        for claim, renewed in claims.values():
            age_s = (now - renewed).total_seconds() if now and renewed else 0.0
            if claim.is_dead or age_s > STALE_S:
                dead.append(claim.name)
            else:
                alive[claim] = max(0.0, age_s)
        return alive, dead

    def _refuse(self, alive: dict[Claim, float]) -> NoReturn:
        claim = next((claim for claim in alive if claim.held), next(iter(alive)))
        raise UserError(
            f"{self._study} is in use: process {claim.pid} on {claim.host} runs this study since {claim.since}, last "
            f"heard of {format_seconds(alive[claim])} ago; expected one driver per study (one that is gone is "
            f"forgotten after {format_seconds(STALE_S)})"
        )
