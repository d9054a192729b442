"""The board where Tune pins jobs and slots pick them up: the rules, which know neither Ray nor waiting.

`BoardActor` (board_actor.py) lets others wait for its changes. A job is
handed out again while its worker dies, until it ends or has been handed out `hand_outs` times. The first end of a
job counts, later ones are ignored, so every call may be repeated.
"""

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.orchestrate.failures import KILLED, classify
from harness.orchestrate.packing import Need, Node, Packing, Spots

KEPT_REPORTS = 1000
MOST_OVERTAKEN = 20
"""How many later jobs may start before one that does not fit yet; then all wait for it."""
MOST_SPOILT = 3
"""So many jobs in a row may be given up on one slot; then its machine is at fault, or every job is."""


@dataclass
class _Entry:
    payload: Mapping[str, Any]
    slot: int | None = None
    hand_outs: int = 0
    started_s: float = 0.0
    reports: deque[tuple[int, dict[str, Any]]] = field(default_factory=lambda: deque(maxlen=KEPT_REPORTS))
    count: int = 0
    death: str | None = None
    """Why the worker that had the job last died."""
    stop: str | None = None
    """The state with which it was asked to end."""
    outcome: dict[str, Any] | None = None


class Board:
    """Which job is where; all values are plain, so that they cross processes cheaply."""

    def __init__(
        self,
        payloads: Mapping[str, Mapping[str, Any]],
        *,
        hand_outs: int,
        slots: int,
        sticky: bool = False,
        needs: Mapping[str, Need] | None = None,
        packing: Packing | None = None,
    ) -> None:
        """Know the jobs; none is handed out before it is submitted, nor while its need does not fit anywhere.

        `sticky`: a job stays with its slot when the worker dies, since the slot's resources are that job's.
        """
        self.sticky = sticky
        self._packing = packing
        self._needs = dict(needs or {})
        self._overtaken: dict[str, int] = {}
        self._entries = {digest: _Entry(payload) for digest, payload in payloads.items()}
        self._order = {digest: index for index, digest in enumerate(payloads)}
        self._pending: set[str] = set()
        self._at: dict[int, str] = {}
        self._hand_outs = hand_outs
        self._slots = slots
        self._at_least = 0
        """Jobs that are to run or wait, whether or not Tune has come to them."""
        self._up: dict[int, str] = {}
        self._tried: Counter[int] = Counter()
        """Jobs handed out to each slot since it was last down."""
        self._spoilt: Counter[int] = Counter()
        """Jobs given up on each slot since one came to its own end there."""
        self._num_served = 0
        self._served_before: Counter[int] = Counter()
        """How many jobs of any slot had come to their own end when each slot was last down."""
        self._renewals: set[int] = set()
        self._events: list[dict[str, Any]] = []
        self._latest: dict[str, dict[str, Any]] = {}
        self.closed = False
        self.stopping = False

    def add(self, digest: str, payload: Mapping[str, Any], need: Need | None = None) -> None:
        """Know one more job, after all others; what is known already stays as it is."""
        self._needs.setdefault(digest, need or Need())
        self._entries.setdefault(digest, _Entry(payload))
        self._order.setdefault(digest, len(self._order))

    def submit(self, digest: str) -> None:
        """Let slots take the job; a job that is already submitted, running or ended stays as it is."""
        entry = self._entries[digest]
        if entry.outcome is None and entry.slot is None and digest not in self._pending:
            if self.stopping:
                self._conclude(digest, {"state": "planned"})
            else:
                self._pending.add(digest)

    def reserve(self, slot: int, nodes: Sequence[str] | None = None) -> bool:
        """Give the slot a job if one fits, without starting it; say whether the slot has one now.

        Args:
            slot: which slot asks.
            nodes: where each of its workers is, if they are somewhere already.
        """
        if slot not in self._at:
            # In the order given, whichever relay was quicker to submit.
            waiting: list[str] = []
            for digest in sorted(self._pending, key=self._order.__getitem__):
                if self._fits(digest, nodes):
                    self._hold(digest, slot, waiting)
                    break
                if self._overtaken.get(digest, 0) >= MOST_OVERTAKEN:
                    break  # a large job would wait for ever if small ones always took the room that is left
                waiting.append(digest)
        return slot in self._at

    def spots(self, slot: int) -> Spots | None:
        """Return where the workers of the slot's job have their room; None where nobody keeps account."""
        digest = self._at.get(slot)
        return self._packing.spots(digest) if self._packing and digest else None

    def take(self, slot: int, nodes: Sequence[str] | None = None) -> dict[str, Any] | None:
        """Return the job that the slot is to run now: the one its last worker left behind, or the next.

        With `sticky` only one that is reserved: the worker has the cards of that job and of no other.
        """
        while slot in self._at or (not self.sticky and self.reserve(slot, nodes)):
            digest = self._at[slot]
            entry = self._entries[digest]
            if entry.hand_outs >= self._hand_outs:
                self._give_up(digest)
                continue
            if self.stopping:
                self._conclude(digest, {"state": "interrupted", "error": entry.death and classify(entry.death)[1]})
                continue
            entry.hand_outs += 1
            self._tried[slot] += 1
            entry.started_s = entry.started_s or time.monotonic()
            self._say("started", digest, values={"slot": slot, "hand_out": entry.hand_outs})
            # What every rank may fill: with cards of different sizes, the least that one of them was given.
            room = min((spot.card_bytes for spot in self.spots(slot) or ()), default=0)
            bound = {"card_bytes": room} if room else {}
            return {**entry.payload, **bound, "digest": digest, "hand_out": entry.hand_outs}
        return None

    def report(self, digest: str, metrics: Mapping[str, Any]) -> None:
        """Keep what a running job reports."""
        entry = self._entries[digest]
        if entry.outcome is None:
            entry.count += 1
            entry.reports.append((entry.count, dict(metrics)))
            shown = self._latest.get(digest, {}).get("epoch")
            if shown is not None and metrics.get("epoch", shown) != shown:
                self._say("report", digest, values=self._latest.pop(digest))
            self._latest.setdefault(digest, {}).update(metrics)

    def end(self, digest: str, outcome: Mapping[str, Any]) -> None:
        """Close the job with `state`, `error`, `result` and `traceback`; only the first end counts."""
        entry = self._entries[digest]
        if entry.outcome is None:
            self._num_served += 1
            if entry.slot is not None:
                self._spoilt.pop(entry.slot, None)
        self._conclude(digest, outcome)

    def slot_up(self, slot: int, incarnation: str) -> None:
        """Note that a worker of the slot is ready."""
        if slot not in self._up:
            self._up[slot] = incarnation
            self._say("slots", None, values={"up": len(self._up), "wanted": self._slots})
        self._up[slot] = incarnation

    def incarnation(self, slot: int) -> str | None:
        """Return which worker group serves the slot now."""
        return self._up.get(slot)

    def worker_died(self, slot: int, text: str) -> None:
        """Remember why, and leave the job to the next worker that asks.

        With `sticky` that is the slot's own, once it is started again. Else it is any: a cluster that shrank may have
        no room for a new worker, while others are idle.
        """
        digest = self._at.get(slot)
        if digest is None:
            return
        entry = self._entries[digest]
        entry.death = text
        if entry.hand_outs >= self._hand_outs:
            # Here and now: whoever took it next is not to blame.
            self._give_up(digest)
            return
        self._say("retried", digest, values={"hand_out": entry.hand_outs}, reason=classify(text)[1])
        if not self.sticky:
            self._free(entry)
            self._pending.add(digest)

    def renew(self, slot: int, left: str) -> None:
        """Note that the slot's worker ends because its last trial left something behind."""
        self._renewals.add(slot)
        self._up.pop(slot, None)
        self._say("renewed", None, values={"slot": slot}, reason=f"its last trial left {left} behind")

    def takes_renewal(self, slot: int) -> bool:
        """Whether the slot is to start another worker; asked once per worker that ended."""
        wanted = slot in self._renewals and not self.closed
        self._renewals.discard(slot)
        return wanted

    def slot_down(self, slot: int, text: str) -> bool:
        """Take the slot's job back for others to run; say whether there is sense in starting the slot again.

        There is where a job was handed out to it, which may be what killed it, or where others get on meanwhile: not
        where no worker comes up and nothing else ends either, nor where job after job had to be given up on it.
        """
        digest = self._at.get(slot)
        if digest is not None:
            entry = self._entries[digest]
            entry.death = text
            if entry.hand_outs >= self._hand_outs:
                self._give_up(digest)
            else:
                self._free(entry)
                self._pending.add(digest)
        if self._up.pop(slot, None) is not None:
            # A sticky slot comes back at once, and its job has said already why its worker died.
            reason = None if self.sticky else classify(text)[1]
            self._say("slots", None, values={"up": len(self._up), "wanted": self._slots}, reason=reason)
        gets_on = self._num_served > self._served_before[slot]
        self._served_before[slot] = self._num_served
        return self._spoilt[slot] < MOST_SPOILT and (self._tried.pop(slot, 0) > 0 or gets_on)

    def fail_rest(self, error: str, traceback: str | None = None) -> None:
        """End every job that has not ended: nothing is left to run it."""
        for digest, entry in self._entries.items():
            if entry.outcome is None:
                self._conclude(digest, {"state": "failed", "error": error, "traceback": traceback})

    def stop(self) -> None:
        """Ask every running job to save its state and end; those that never began end as `planned`."""
        self.stopping = True
        for digest, entry in self._entries.items():
            entry.stop = entry.stop or "interrupted"
            if not entry.hand_outs:
                self._conclude(digest, {"state": "planned"})
            elif entry.slot is None:
                # Its worker died and no other has it yet: there is nobody who could save anything.
                self._conclude(digest, {"state": "interrupted", "error": entry.death and classify(entry.death)[1]})

    def stop_early(self, digest: str) -> None:
        """Ask one running job to save its state and end for good."""
        self._entries[digest].stop = self._entries[digest].stop or "stopped_early"

    def should_stop(self, digest: str) -> str | None:
        """Return the state with which the job should end, if it was asked to or is nobody's any more."""
        entry = self._entries[digest]
        return entry.stop or ("interrupted" if self.closed or entry.outcome is not None else None)

    def follow(self, digest: str, after: int) -> tuple[int, list[dict[str, Any]], dict[str, Any] | None]:
        """Return the number of the last report, the reports after number `after`, and the outcome if it ended."""
        entry = self._entries[digest]
        return entry.count, [metrics for number, metrics in entry.reports if number > after], entry.outcome

    def has_news(self, digest: str, after: int) -> bool:
        """Whether `follow` would return something new."""
        entry = self._entries[digest]
        return entry.count > after or entry.outcome is not None

    def events(self) -> list[dict[str, Any]]:
        """Return what happened since the last call; a job's reports of one epoch come merged."""
        happened, self._events = self._events, []
        happened += [{"kind": "report", "digest": digest, "values": values} for digest, values in self._latest.items()]
        self._latest = {}
        return happened

    @property
    def has_events(self) -> bool:
        """Whether `events` would return something."""
        return bool(self._events or self._latest)

    def follow_nodes(self, nodes: Sequence[Node]) -> None:
        """Know what machines there are now."""
        if self._packing is not None:
            self._packing.follow(nodes)

    def forget_nodes(self, slot: int, names: Sequence[str]) -> None:
        """Place nothing more on these machines, and the slot's job elsewhere: a worker for it could not start."""
        if self._packing is not None:
            self._packing.follow([node for node in self._packing.nodes if node.name not in names])
        digest = self._at.get(slot)
        if digest is not None:
            self._free(self._entries[digest])
            self._pending.add(digest)

    def widen(self, slots: int) -> None:
        """Have work for so many slots, more than Tune submits for: the next jobs are taken as submitted."""
        self._slots = self._at_least = slots
        self._top_up()

    @property
    def has_pending(self) -> bool:
        """Whether a job waits for a slot."""
        return bool(self._pending)

    @property
    def num_ended(self) -> int:
        """How many jobs have an outcome."""
        return sum(entry.outcome is not None for entry in self._entries.values())

    def _top_up(self) -> None:
        wanting = self._at_least - len(self._pending) - len(self._at)
        if self.stopping or wanting <= 0:
            return
        rest = [
            digest
            for digest, entry in self._entries.items()
            if entry.outcome is None and entry.slot is None and digest not in self._pending
        ]
        self._pending.update(sorted(rest, key=self._order.__getitem__)[:wanting])

    def _hold(self, digest: str, slot: int, overtaken: Sequence[str]) -> None:
        self._pending.remove(digest)
        self._at[slot] = digest
        self._entries[digest].slot = slot
        for other in overtaken:
            self._overtaken[other] = self._overtaken.get(other, 0) + 1

    def _fits(self, digest: str, nodes: Sequence[str] | None) -> bool:
        if self._packing is None:
            return True
        return self._packing.place(digest, self._needs.get(digest, Need()), nodes=nodes) is not None

    def _free(self, entry: _Entry) -> None:
        if entry.slot is not None:
            digest = self._at.pop(entry.slot)
            if self._packing is not None:
                self._packing.free(digest)
        entry.slot = None

    def _give_up(self, digest: str) -> None:
        entry = self._entries[digest]
        if entry.slot is not None:
            self._spoilt[entry.slot] += 1
        state, reason = classify(entry.death) if entry.death else ("failed", KILLED)
        error = f"{reason}; it was started {entry.hand_outs} times"
        self._conclude(digest, {"state": state, "error": error, "traceback": entry.death})

    def _conclude(self, digest: str, outcome: Mapping[str, Any]) -> None:
        entry = self._entries[digest]
        if entry.outcome is not None:
            return
        seconds = time.monotonic() - entry.started_s if entry.started_s else 0.0
        entry.outcome = {"error": None, "result": None, "traceback": None, **outcome, "seconds": seconds}
        self._free(entry)
        self._pending.discard(digest)
        self._top_up()
        self._say("ended", digest, values=self._latest.pop(digest, {}), outcome=entry.outcome)

    def _say(self, kind: str, digest: str | None, **more: Any) -> None:
        self._events.append({"kind": kind, "digest": digest, **more})
